"""Names that BigJob exported and never filled: making one says what to use."""

from __future__ import annotations

from typing import NoReturn


class ComputeUnitService:
    """Never existed; use ComputeDataService."""

    def __init__(self, *_: object, **__: object) -> NoReturn:
        raise NotImplementedError("there is no ComputeUnitService; use ComputeDataService")


class DataUnitService:
    """Never existed; use ComputeDataService."""

    def __init__(self, *_: object, **__: object) -> NoReturn:
        raise NotImplementedError("there is no DataUnitService; use ComputeDataService")
