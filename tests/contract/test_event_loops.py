"""Fast loops with asyncio's manners: a lost connection is told to whoever reads, not to whoever writes."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import BrokerMetadata


@asynccontextmanager
async def rude_server():
    """One that resets each connection at its first byte."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        at_once = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()
        writer.close()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_what_is_written_to_a_reset_connection_goes_and_who_reads_is_told():
    async with rude_server() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"first")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.write(b"too late")
        writer.writelines([b"even", b"later"])
        with pytest.raises(ConnectionResetError):
            await writer.drain()
        assert writer.is_closing()
        writer.close()


async def test_what_cannot_be_written_at_all_is_told():
    async with rude_server() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            writer.write(b"after the end")
        with suppress(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_unix_sockets_are_no_different(tmp_path: Path):
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    path = str(tmp_path / "server")
    async with await asyncio.start_unix_server(hang_up, path):
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b""
        await asyncio.sleep(0.05)  # until the connection is closed on our side, too
        writer.write(b"too late")
        writer.writelines([b"even", b"later"])
        writer.close()


async def test_aiokafka_goes_on_following_a_cluster_that_reset_its_connection():
    async with rude_server() as port:
        connection = await reset_connection(port)
        client = AIOKafkaClient()
        client.cluster._brokers = {1: BrokerMetadata(1, "127.0.0.1", port, None)}
        client._conns[1, ConnectionGroup.DEFAULT] = connection
        client._md_update_waiter = asyncio.get_running_loop().create_future()
        client._sync_task = asyncio.ensure_future(client._md_synchronizer())
        assert connection.connected()  # of all things: its reader has not ended, it has failed
        async with asyncio.timeout(30):
            assert not await client.force_metadata_update()
        assert not client._sync_task.done()
        client._sync_task.cancel()


async def reset_connection(port: int) -> AIOKafkaConnection:
    """One that the server has just reset: the transport knows, and its reader will in a moment."""
    connection = AIOKafkaConnection("127.0.0.1", port)
    reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
    connection._writer.write(b"first")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    connection._reader, connection._versions = reader, {MetadataRequest.API_KEY: (0, 5)}
    connection._read_task = asyncio.ensure_future(asyncio.sleep(60))
    asyncio.get_running_loop().call_later(0.1, connection.close)  # as its reader does
    return connection
