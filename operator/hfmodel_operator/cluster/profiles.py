"""GPU profiles: what `spec.gpu.profile` means on this cluster. An administrator writes them into the Helm values."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from hfmodel_api import patterns
from hfmodel_api.errors import FieldError, InvalidManifest
from hfmodel_api.validation import field_errors


class Profile(BaseModel):
    """One kind of GPU."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    resource_name: Annotated[str, Field(min_length=1)] = "nvidia.com/gpu"
    node_selector: dict[str, str] = {}
    tolerations: tuple[dict[str, Any], ...] = ()
    runtime_class_name: str = ""
    image: str = ""  # of the runtime; empty: the installation's


_Profiles = TypeAdapter(dict[Annotated[str, Field(pattern=patterns.DNS_NAME, max_length=63)], Profile])


def read_profiles(path: Path) -> dict[str, Profile]:
    """The profiles of a YAML file: a mapping of names to profiles.

    Raises:
        InvalidManifest: the file cannot be read or a field is wrong; says each field.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _Profiles.validate_python(document or {})
    except ValidationError as error:
        raise InvalidManifest(field_errors(error), origin=str(path)) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidManifest([FieldError("", f"cannot be read: {error}")], origin=str(path)) from error
