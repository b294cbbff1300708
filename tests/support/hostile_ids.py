"""Texts given for a customer id that are none: every one must be refused and touch nothing."""

HOSTILE_IDS = (
    "a:b{c}\n*",
    "x" * 10_240,
    "1; DROP TABLE customers",
    "' OR '1'='1",
    "return redis.call('FLUSHALL')",
    "*",
    "00003\x00",
    "0000?",
    "partition:0 owner",
    "\ud83d\udca9 \u202e",
    "00003\r\nFLUSHALL\r\n",
    "{0}",
    '00003"} --',
    "$(redis-cli FLUSHALL) ",
)
