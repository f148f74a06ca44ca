"""``cereal-yaml``: what kombu's ``yaml`` carries, and references, tagged ``!ref``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from kombu.exceptions import SerializerNotInstalled

from ..arguments import LazyArgs, LazyEmbed, LazyKwargs
from ..exceptions import InvalidMessage, UnsupportedValue
from .body import BodyFormat, row_at
from .nesting import DEEPEST

if TYPE_CHECKING:
    from .tables import Table

try:
    import yaml
except ImportError as error:
    raise SerializerNotInstalled(
        "cereal-yaml needs PyYAML: pip install 'django-cereal-methods[yaml]'"
    ) from error


#: How many values may stand there again by an alias (``*id001``), all told.
_MOST_REPEATED: Final = 1_000_000

#: How many brackets may be open at once; the encoder indents, and has them for empty lists.
_MOST_BRACKETS: Final = 64

#: Characters of a number of 64 bits, and how many longer ones a dict may have as keys.
_LONGEST_KEY: Final = 20
_MOST_LARGE_KEYS: Final = 64


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

    def has_header(self, body: Any, beginning: Any) -> bool:
        """Tell whether a body has a header: kombu's ``yaml`` writes no dict that begins so."""
        return bool(body.startswith(beginning))

    def decode_plain(self, body: str) -> Any:
        """Return the value of a body that kombu's ``yaml`` may have written."""
        # Empty lines say nothing there, and take PyYAML ten microseconds each.
        return self.decode(body.lstrip("\n"), (), "")

    def containers(self, body: Any) -> int:
        """Return how many lists and dicts a body has at most; one may contain itself."""
        return DEEPEST + 1 if ("*" if isinstance(body, str) else b"*") in body else len(body)

    def begins_call(self, body: Any) -> bool:
        """Tell whether a body that cannot be read was that of a call."""
        start, embed = ("- ", "callbacks:") if isinstance(body, str) else (b"- ", b"callbacks:")
        return bool(body.startswith(start)) and embed in body


class _Dumper(yaml.SafeDumper):
    def __init__(self, table: Table, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def represent_undefined(self, data: Any) -> Any:
        # The last resort of SafeDumper, for whatever has no representer: here so
        # that a lazy proxy of an instance (request.user) is one as well.
        place = self.table.place_of(data)
        if place is not None:
            return self.represent_scalar("!ref", str(place))
        if isinstance(data, (LazyArgs, LazyKwargs, LazyEmbed)):
            return self.represent_data(data.plainly(references=self.table.is_call))
        if isinstance(data, dict):  # a Signature
            return self.represent_dict(data)
        if isinstance(data, (list, tuple)):
            return self.represent_list(data)
        raise yaml.representer.RepresenterError("cannot represent an object", data)


_Dumper.add_representer(cast("Any", None), _Dumper.represent_undefined)


class _Loader(yaml.SafeLoader):
    # What the encoder never writes is refused where a few bytes of it take minutes.
    rows: Sequence[Any]

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.composed = 0
        self.repeated = 0
        self.sizes: dict[Any, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        # Aliases are cheap here, and grow without bounds for who walks what they stand for.
        event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self.composed
        self.composed += 1
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.events.AliasEvent):
            size = self.sizes.get(node, 0)
            self.composed += size
            self.repeated += size
            if self.repeated > _MOST_REPEATED:
                raise InvalidMessage("The YAML of a message repeats itself without bounds.")
        elif event.anchor is not None:
            self.sizes[node] = self.composed - before
        return node

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        # The scanner looks through all the brackets that are open, at every token.
        if self.flow_level >= _MOST_BRACKETS:
            raise InvalidMessage("The YAML of a message has too many brackets within brackets.")
        super().fetch_flow_collection_start(token_class)

    def flatten_mapping(self, node: Any) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise InvalidMessage("The YAML of a message has a merge key, which is not read.")
        super().flatten_mapping(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        # Numbers of one hash are easily found, and a dict of them takes long. Numbers of 64 bits
        # have at most a few.
        large = sum(
            len(key.value) > _LONGEST_KEY
            for key, _ in node.value
            if key.tag == "tag:yaml.org,2002:int"
        )
        if large > _MOST_LARGE_KEYS:
            raise InvalidMessage("The YAML of a message has a dict with too many huge keys.")
        return super().construct_mapping(node, deep)

    def construct_int(self, node: Any) -> int:
        text = self.construct_scalar(node)
        if ":" in text or len(text) > 5000:
            raise InvalidMessage(
                "The YAML of a message has a number in base 60 or of thousands of digits, which is "
                "not read."
            )
        return self.construct_yaml_int(node)

    def construct_ref(self, node: Any) -> Any:
        return row_at(self.rows, int(self.construct_scalar(node)))


_Loader.add_constructor("!ref", _Loader.construct_ref)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)

FORMAT: Final = YAMLFormat()
