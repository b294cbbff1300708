"""`everscore replay`"""
from ops.cli.support import command
@command
async def replay() -> None:
    """x"""
