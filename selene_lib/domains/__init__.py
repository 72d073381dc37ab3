"""Domain sets (Table 2, Fig. 3a): several readings of items nobody named, and a user's own domain from a YAML file."""

from selene_lib.domains.readings import Reading, always, ceilings, domain_table, readings, select_readings
from selene_lib.domains.user import UserDomain, load_user_domain, read_user_domain

__all__ = [
    "Reading",
    "UserDomain",
    "always",
    "ceilings",
    "domain_table",
    "load_user_domain",
    "read_user_domain",
    "readings",
    "select_readings",
]
