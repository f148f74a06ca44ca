"""``cereal-yaml``: what kombu's ``yaml`` carries, and references, tagged ``!ref``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from kombu.exceptions import SerializerNotInstalled

from ..arguments import LazyArgs, LazyEmbed, LazyKwargs
from ..exceptions import UnsupportedValue
from ..references import reference_of
from .body import BodyFormat, Table, row_at

try:
    import yaml
except ImportError as error:
    raise SerializerNotInstalled(
        "cereal-yaml needs PyYAML: pip install 'django-cereal-methods[yaml]'"
    ) from error


class YAMLFormat(BodyFormat):
    """The format of ``cereal-yaml``."""

    name = "cereal-yaml"
    newline = "\n"

    def encode(self, value: Any, table: Table) -> str:
        """Return the YAML of ``value``, its references entered in ``table``."""

        def dumper(*args: Any, **kwargs: Any) -> _Dumper:
            return _Dumper(table, *args, **kwargs)

        try:
            # Not allow_unicode: the header counts characters, the broker bytes.
            text: str = yaml.dump(value, Dumper=dumper)
        except yaml.representer.RepresenterError as error:
            raise UnsupportedValue(
                f"cereal-yaml cannot carry a value of type {type(error.args[1]).__qualname__}. "
                "Convert it, or send the task with serializer='cereal-pickle'.",
                type(error.args[1]),
            ) from error
        return text

    def decode(self, blob: str, rows: Sequence[Any], mark: str) -> Any:
        """Return the value of the YAML, with ``rows[i]`` in the place of reference ``i``."""
        loader = _Loader(blob)
        loader.rows = rows
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()


class _Dumper(yaml.SafeDumper):
    def __init__(self, table: Table, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def represent_undefined(self, data: Any) -> Any:
        # The last resort of SafeDumper, for whatever has no representer: here so
        # that a lazy proxy of an instance (request.user) is one as well.
        reference = reference_of(data)
        if reference is not None:
            return self.represent_scalar("!ref", str(self.table.add(reference)))
        if isinstance(data, (LazyArgs, LazyKwargs, LazyEmbed)):
            return self.represent_data(data.plainly(references=self.table.is_call))
        if isinstance(data, dict):  # a Signature
            return self.represent_dict(data)
        if isinstance(data, (list, tuple)):
            return self.represent_list(data)
        raise yaml.representer.RepresenterError("cannot represent an object", data)


_Dumper.add_representer(cast("Any", None), _Dumper.represent_undefined)


class _Loader(yaml.SafeLoader):
    rows: Sequence[Any]

    def construct_ref(self, node: Any) -> Any:
        return row_at(self.rows, int(self.construct_scalar(node)))


_Loader.add_constructor("!ref", _Loader.construct_ref)

FORMAT: Final = YAMLFormat()
