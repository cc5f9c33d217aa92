#!/usr/bin/env bash
# Linux, rtnetlink: RTM_GETQDISC for one queueing discipline succeeds and tells nothing, unless the request carries NLM_F_ECHO.
#
# Other requests of that family for one object (RTM_GETLINK, RTM_GETTFILTER) answer whoever asks. The kernel treats what it
# knows of one discipline as news for the group RTNLGRP_TC, of which the asker gets a copy by NLM_F_ECHO alone; with
# NLM_F_ACK one gets an acknowledgement, which looks like "there is none". A dump answers always, but tells those of
# all links.
# Seen: Linux 6.18 (pyroute2 0.9.4 builds the messages), 2026-11. Exit code 1 when it is otherwise.
# Needs root (a network namespace of its own), python3 with venv, and iproute2.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyroute2==0.9.4
cat >"$work/ask.py" <<'PYTHON'
import platform, socket, subprocess, sys
from pyroute2.netlink import NLM_F_ACK, NLM_F_ECHO, NLM_F_REQUEST
from pyroute2.netlink.rtnl.tcmsg import tcmsg

RTM_NEWQDISC, RTM_GETQDISC, NLMSG_ERROR, ROOT = 36, 38, 2, 0xFFFFFFFF

def run(line):
    subprocess.run(line.split(), check=True)

run("ip link add d0 type veth peer name d1")
run("tc qdisc add dev d0 root handle 7: tbf rate 1mbit burst 10kb limit 30kb")
index = socket.if_nametoindex("d0")

def ask(flags):
    message = tcmsg()
    message["header"].update(type=RTM_GETQDISC, flags=NLM_F_REQUEST | NLM_F_ACK | flags, sequence_number=1, pid=0)
    message.update(index=index, parent=ROOT)
    message.encode()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        kernel.settimeout(5)
        kernel.send(bytes(message.data))
        kinds = []
        while NLMSG_ERROR not in kinds:
            answer = kernel.recv(65536)
            while answer:
                length, kind = int.from_bytes(answer[:4], sys.byteorder), int.from_bytes(answer[4:6], sys.byteorder)
                if kind == NLMSG_ERROR:
                    code = int.from_bytes(answer[16:20], sys.byteorder, signed=True)
                    assert code == 0, f"the kernel refuses: {code}"
                kinds.append(kind)
                answer = answer[(length + 3) & ~3:]
        return kinds

plain, echo = ask(0), ask(NLM_F_ECHO)
print(f"Linux {platform.release()}: types of what is answered: {plain}; with NLM_F_ECHO: {echo}")
ok = plain == [NLMSG_ERROR] and echo == [RTM_NEWQDISC, NLMSG_ERROR]
print("as described" if ok else "OTHERWISE than described")
sys.exit(not ok)
PYTHON
unshare --net "$work/venv/bin/python" "$work/ask.py"
