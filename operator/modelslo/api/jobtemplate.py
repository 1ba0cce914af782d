"""The part of a Job template that must be right for a retrain; all else in it is the user's and is kept as it is.

The models only say what is checked: the value itself stays the plain mapping that the user wrote.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema


class _Open(BaseModel):
    """A part of somebody else's type, of which only a few fields are known here."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="allow",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )


class _Container(_Open):
    name: str = Field(min_length=1, max_length=63)
    image: str = Field(min_length=1, max_length=1024)


class _PodSpec(_Open):
    containers: list[_Container] = Field(
        min_length=1, max_length=16, description="The first one gets the operator's environment variables."
    )
    restart_policy: Literal["Never", "OnFailure"] = Field(description="A Job's pods take Never or OnFailure.")


class _PodTemplate(_Open):
    spec: _PodSpec


class _JobSpec(_Open):
    template: _PodTemplate
    ttl_seconds_after_finished: int | None = Field(
        None, ge=3600, description="Leave it out, or leave the operator an hour to read the result."
    )


class _JobTemplate(_Open):
    spec: _JobSpec


class _Checked:
    """Checks a mapping against :class:`_JobTemplate` and hands it on unchanged."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(value: Any, validate: core_schema.ValidatorFunctionWrapHandler) -> Any:
            validate(value)
            return value

        return core_schema.no_info_wrap_validator_function(
            check,
            handler.generate_schema(_JobTemplate),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value),
        )


JobTemplate = Annotated[dict[str, Any], _Checked()]
