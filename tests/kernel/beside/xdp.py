"""Attaches an XDP program that drops everything to the interface that is named."""
import ctypes
import os
import socket
import struct
import sys

BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}[os.uname().machine]
BPF_PROG_LOAD, BPF_PROG_TYPE_XDP, XDP_DROP = 5, 6, 1
NETLINK_ROUTE, RTM_SETLINK, REQUEST_ACK, NESTED = 0, 19, 5, 0x8000
IFLA_XDP, IFLA_XDP_FD, IFLA_XDP_FLAGS, XDP_FLAGS_SKB_MODE = 43, 1, 3, 2


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


# r0 = XDP_DROP; exit
program = struct.pack("=BBhi", 0xB7, 0, 0, XDP_DROP) + struct.pack("=BBhi", 0x95, 0, 0, 0)
code, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"GPL")
wanted = struct.pack("=IIQQ", BPF_PROG_TYPE_XDP, 2, ctypes.addressof(code), ctypes.addressof(licence)) + bytes(96)
libc = ctypes.CDLL(None, use_errno=True)
descriptor = libc.syscall(BPF, BPF_PROG_LOAD, ctypes.create_string_buffer(wanted), len(wanted))
if descriptor < 0:
    sys.exit("bpf: " + os.strerror(ctypes.get_errno()))
options = attribute(IFLA_XDP_FD, struct.pack("=i", descriptor))
options += attribute(IFLA_XDP_FLAGS, struct.pack("=I", XDP_FLAGS_SKB_MODE))
link = struct.pack("=BBHiII", 0, 0, 0, socket.if_nametoindex(sys.argv[1]), 0, 0)
body = link + attribute(IFLA_XDP | NESTED, options)
route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)
route.send(struct.pack("=IHHII", 16 + len(body), RTM_SETLINK, REQUEST_ACK, 1, 0) + body)
(error,) = struct.unpack_from("=i", route.recv(4096), 16)
if error:
    sys.exit("netlink: " + os.strerror(-error))
