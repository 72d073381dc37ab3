"""Open the generator that a run names."""

from __future__ import annotations

from selene_lib.curation.generators.protocol import Generator, GeneratorSpec
from selene_lib.errors import UserError

GENERATORS = ("teacher", "published", "server", "local", "vllm")


def open_generator(spec: GeneratorSpec) -> Generator | None:
    """Return the generator that `spec.kind` names.

    None for `published`, where no critique is generated and pairs are judgement-only.
    """
    if spec.kind == "published":
        return None
    if spec.kind == "teacher":
        from selene_lib.curation.generators.teacher import TeacherGenerator

        return TeacherGenerator()
    if spec.kind not in GENERATORS:
        raise UserError(f"unknown generator {spec.kind!r}; known: {', '.join(GENERATORS)}")
    if not spec.model:
        raise UserError(f"generator {spec.kind!r} needs a model (generator_model)")
    if spec.kind == "server":
        from selene_lib.curation.generators.server import ServerGenerator

        return ServerGenerator(spec)
    if spec.kind == "local":
        from selene_lib.curation.generators.local import LocalGenerator

        return LocalGenerator(spec.model, max_reply_tokens=spec.max_reply_tokens, **spec.extra)
    from selene_lib.curation.generators.vllm import VllmGenerator

    return VllmGenerator(spec.model, max_reply_tokens=spec.max_reply_tokens, **spec.extra)
