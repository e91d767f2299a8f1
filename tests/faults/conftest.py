"""What tests of faults share: a Kafka that is not one, in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import harness
import pytest


@pytest.fixture
async def brokers() -> AsyncIterator[str]:
    """The address of a mock broker of librdkafka's, which ends with the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(harness.BROKER), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    yield (await process.stdout.readline()).decode().strip()
    process.kill()
    await process.wait()
