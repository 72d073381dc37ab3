"""selene_lib: an open reproduction of Atla Selene Mini."""
