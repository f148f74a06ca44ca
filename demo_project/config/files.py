"""kombu's message queue of files, whose workers never see a file that is half written."""

import uuid
from pathlib import Path
from time import monotonic

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    def _put(self, queue, payload, **kwargs):
        # kombu's own writes the file where a worker may already read it, and the worker ends.
        name = f"{round(monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        unfinished = Path(self.data_folder_out, f"{name}.unfinished")
        unfinished.write_text(dumps(payload))
        unfinished.replace(Path(self.data_folder_out, name))


class Transport(filesystem.Transport):
    Channel = Channel
