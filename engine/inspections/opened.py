"""A run opened to be looked at: its model at a checkpoint, its data, its fixed sample."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import msgspec

from engine.data.loader import Loader
from engine.data.store import Dataset
from engine.errors import DataError
from engine.feeding import open_loader
from engine.protocol.schema import Schema, misfit
from engine.runs import RunFolder
from engine.training.load import load_model


class OpenedRun:
    """Model, data and settings of a run at one checkpoint (None = the newest); a context manager."""

    def __init__(
        self, run_path: Path, *, step: int | None = None, dataset_path: str = "", device: str = "auto"
    ) -> None:
        loaded = load_model(run_path, step=step, device=device)
        self.folder = RunFolder.open(run_path)
        self.spec = loaded.spec
        self.method = loaded.method
        self.config = loaded.config
        self.model = loaded.model
        self.step = loaded.step
        self.dataset_path = Path(dataset_path or loaded.spec.dataset)
        if not self.dataset_path.exists():
            raise DataError(
                f"The dataset of this run, {self.dataset_path}, is not there any more.",
                "Say where it is with --data FILE.h5.",
            )
        self.dataset = Dataset.open(self.dataset_path)
        reason = misfit(self.method.needs, self.schema)
        if reason:
            raise DataError(
                f"{self.dataset_path.name} does not fit {self.method.id}: it {reason}.", "Choose other data."
            )

    @property
    def schema(self) -> Schema:
        """Schema of the data."""
        return self.dataset.schema

    def loader(self, *, split: str | None) -> Loader:
        """Return a loader of the records of `split`, without augmentation."""
        return open_loader(
            self.method, self.config, self.dataset, batch_size=256, seed=self.spec.seed, split=split, prefetch=0
        )

    def untrained(self) -> OpenedRun:
        """Return the same with the weights as they were before the first step, for comparison."""
        import torch

        other = OpenedRun.__new__(OpenedRun)
        other.__dict__.update(self.__dict__)
        torch.manual_seed(self.spec.seed)
        device = next(self.model.parameters()).device
        other.model = self.method.model(self.config, self.schema).to(device).eval()
        other.spec = msgspec.structs.replace(self.spec)
        return other

    def __enter__(self) -> OpenedRun:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the dataset."""
        self.close()

    def close(self) -> None:
        """Close the dataset."""
        self.dataset.close()
