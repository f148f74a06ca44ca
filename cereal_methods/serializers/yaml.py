"""``cereal-yaml``: what kombu's ``yaml`` carries, and references, tagged ``!ref``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from kombu.exceptions import SerializerNotInstalled

from ..exceptions import InvalidMessage, UnsupportedValue
from ..rows.container import ArgumentContainer
from .body import BEGINNING, BEGINNING_BYTES, BodyFormat, row_at
from .nesting import DEEPEST

if TYPE_CHECKING:
    from .tables import Table

try:
    import yaml
except ImportError as error:
    raise SerializerNotInstalled(
        "cereal-yaml needs PyYAML: pip install 'django-cereal-methods[yaml]'"
    ) from error


#: The most values of a body that aliases (``*id001``) may repeat.
_MAX_REPEATED: Final = 1_000_000

#: The most brackets that may be open at once. The encoder uses them only for empty lists and dicts.
_MAX_BRACKETS: Final = 64

#: The most characters of an integer of 64 bits.
_INTEGER_LENGTH: Final = 20
#: The most longer integers among the keys of a dict. Python does not randomize their hashes, and a
#: dict of n keys with the same hash takes n * n comparisons.
_MAX_LONG_KEYS: Final = 64
#: The most characters of an integer.
_MAX_INTEGER_LENGTH: Final = 5000


class YAMLFormat(BodyFormat):
    """The format of ``cereal-yaml``."""

    name = "cereal-yaml"
    newline = "\n"

    def encode(self, value: Any, table: Table) -> str:
        """Return the YAML of ``value``, and add its references to ``table``."""

        def dumper(*args: Any, **kwargs: Any) -> _Dumper:
            return _Dumper(table, *args, **kwargs)

        try:
            # Without allow_unicode: the header counts characters, and a broker carries bytes.
            text: str = yaml.dump(value, Dumper=dumper)
        except yaml.representer.RepresenterError as error:
            raise UnsupportedValue(
                f"cereal-yaml cannot carry a value of type {type(error.args[1]).__qualname__}. "
                "Convert it, or send the task with serializer='cereal-pickle'.",
                type(error.args[1]),
            ) from error
        return text

    def decode(self, blob: str, rows: Sequence[Any], mark: str) -> Any:
        """Return the value of the YAML, with ``rows[i]`` in place of reference ``i``."""
        loader = _Loader(blob)
        loader.rows = rows
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()

    def has_header(self, body: Any) -> bool:
        """Whether a body has a header line. kombu's ``yaml`` does not write a dict that way."""
        return bool(body.startswith(BEGINNING if isinstance(body, str) else BEGINNING_BYTES))

    def decode_plain(self, body: str) -> Any:
        """Return the value of a body that kombu's ``yaml`` may have written."""
        # Leading empty lines have no meaning, and PyYAML takes ten microseconds for each.
        return self.decode(body.lstrip("\n"), (), "")

    def max_depth(self, body: Any) -> int:
        """Return the number of characters, or more than ``DEEPEST`` if there may be an alias."""
        return DEEPEST + 1 if ("*" if isinstance(body, str) else b"*") in body else len(body)

    def looks_like_call(self, body: Any) -> bool:
        """Whether an unreadable body was probably that of a call."""
        start, embed = ("- ", "callbacks:") if isinstance(body, str) else (b"- ", b"callbacks:")
        return bool(body.startswith(start)) and embed in body


class _Dumper(yaml.SafeDumper):
    def __init__(self, table: Table, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def represent_undefined(self, data: Any) -> Any:
        # SafeDumper calls this for types without a representer. A representer for models would
        # miss lazy proxies of instances, such as request.user.
        place = self.table.place_of(data)
        if place is not None:
            return self.represent_scalar("!ref", str(place))
        if isinstance(data, ArgumentContainer):
            return self.represent_data(
                data.with_references() if self.table.is_call else data.for_json()
            )
        if isinstance(data, dict):  # a Signature
            return self.represent_dict(data)
        if isinstance(data, (list, tuple)):
            return self.represent_list(data)
        raise yaml.representer.RepresenterError("cannot represent an object", data)


_Dumper.add_representer(cast("Any", None), _Dumper.represent_undefined)


class _Loader(yaml.SafeLoader):
    # A few bytes can keep PyYAML busy for minutes. What does so, and the encoder never writes, is
    # refused.
    rows: Sequence[Any]

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.composed = 0
        self.repeated = 0
        self.sizes: dict[Any, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        # An alias takes no time here, but expands without limit when the value is traversed.
        event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self.composed
        self.composed += 1
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.events.AliasEvent):
            size = self.sizes.get(node, 0)
            self.composed += size
            self.repeated += size
            if self.repeated > _MAX_REPEATED:
                raise InvalidMessage("The YAML of a message expands without limit.")
        elif event.anchor is not None:
            self.sizes[node] = self.composed - before
        return node

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        # At every token the scanner goes through all open brackets.
        if self.flow_level >= _MAX_BRACKETS:
            raise InvalidMessage("The YAML of a message has too many nested brackets.")
        super().fetch_flow_collection_start(token_class)

    def flatten_mapping(self, node: Any) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise InvalidMessage("The YAML of a message has a merge key, which is refused.")
        super().flatten_mapping(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        # Integers of 64 bits cannot have many equal hashes.
        long_keys = sum(
            len(key.value) > _INTEGER_LENGTH
            for key, _ in node.value
            if key.tag == "tag:yaml.org,2002:int"
        )
        if long_keys > _MAX_LONG_KEYS:
            raise InvalidMessage(
                "The YAML of a message has a dict with too many huge integers among its keys."
            )
        return super().construct_mapping(node, deep)

    def construct_int(self, node: Any) -> int:
        text = self.construct_scalar(node)
        if ":" in text or len(text) > _MAX_INTEGER_LENGTH:
            raise InvalidMessage(
                "The YAML of a message has an integer in base 60 or with thousands of digits, "
                "which is refused."
            )
        return self.construct_yaml_int(node)

    def construct_ref(self, node: Any) -> Any:
        return row_at(self.rows, int(self.construct_scalar(node)))


_Loader.add_constructor("!ref", _Loader.construct_ref)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)

FORMAT: Final = YAMLFormat()
