# SPDX-License-Identifier: ISC
"""The checksum of queue files, so that tests may write some themselves."""


def _entry(n):
    for _ in range(8):
        n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
    return n


_TABLE = [_entry(n) for n in range(256)]


def crc32c(data, crc=0):
    crc ^= 0xffffffff
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xff] ^ crc >> 8
    return crc ^ 0xffffffff
