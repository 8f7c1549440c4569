# SPDX-License-Identifier: GPL-2.0-or-later
#
# Programs at the far end of the console wait for exactly this prompt, and
# tell it from a continuation line (PS2) in which the shell wants more.  No
# message of the kernel's, unless it is grave, shall cut one in two; and what
# they type is meant as it is in a script, "!" too.

dmesg -n 3
set +H
PS1='guest:\w# ' PS2='guest> '
HISTFILE=
export SYSTEMD_PAGER=cat

# The size of the terminal over there, if QEMU was told
modprobe -q qemu_fw_cfg
size=/sys/firmware/qemu_fw_cfg/by_name/opt/org.remote-io/terminal/raw
stty $(cat $size 2> /dev/null || echo rows 24 columns 80)
unset size
