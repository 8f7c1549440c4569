/*
 * remote-io-delay-line: a namespace with the TUN device of its end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "netdelay.h"

#define DEVICE_QUEUE 30000      /* packets */

static bool fail(const char *what)
{
    fprintf(stderr, "delay-line: %s: %s\n", what, strerror(errno));
    return false;
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (!ok) {
        fail(path);
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

bool side_privilege(void)
{
    unsigned uid = geteuid(), gid = getegid();
    char map[32];

    /* A namespace nobody uses: the way to know whether we may */
    if (unshare(CLONE_NEWNET) == 0) {
        return true;
    }
    if (errno != EPERM || unshare(CLONE_NEWUSER) < 0) {
        return fail("cannot make network namespaces: run as root, or allow "
                    "user namespaces (sysctl user.max_user_namespaces)");
    }
    snprintf(map, sizeof(map), "0 %u 1", uid);
    if (!write_file("/proc/self/setgroups", "deny") ||
        !write_file("/proc/self/uid_map", map)) {
        return false;
    }
    snprintf(map, sizeof(map), "0 %u 1", gid);
    return write_file("/proc/self/gid_map", map);
}

static bool enter(const char *join)
{
    int fd;
    bool ok;

    if (!join) {
        return unshare(CLONE_NEWNET) == 0 || fail("new network namespace");
    }
    fd = open(join, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail(join);
    }
    ok = setns(fd, CLONE_NEWNET) == 0 || fail(join);
    close(fd);
    return ok;
}

static bool set_address(int sock, struct ifreq *ifr, unsigned long request,
                        const char *address)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&ifr->ifr_addr;

    memset(in, 0, sizeof(*in));
    in->sin_family = AF_INET;
    return inet_pton(AF_INET, address, &in->sin_addr) == 1 &&
           ioctl(sock, request, ifr) == 0;
}

static bool set_up(int sock, struct ifreq *ifr)
{
    if (ioctl(sock, SIOCGIFFLAGS, ifr) < 0) {
        return false;
    }
    ifr->ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(sock, SIOCSIFFLAGS, ifr) == 0;
}

/*
 * The kernel must not drop what we have not come to read yet.  The ioctl for
 * it wants real root; rtnetlink does not.
 */
static bool set_queue(const char *name)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg link;
        struct rtattr attr;
        uint32_t packets;
    } ask = {
        .head = { sizeof(ask), RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK },
        .link = { .ifi_index = if_nametoindex(name) },
        .attr = { RTA_LENGTH(sizeof(uint32_t)), IFLA_TXQLEN },
        .packets = DEVICE_QUEUE,
    };
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char request[sizeof(ask)];
    } answer;
    int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    bool ok = sock >= 0 && send(sock, &ask, sizeof(ask), 0) >= 0 &&
              recv(sock, &answer, sizeof(answer), 0) >= 0;

    if (sock >= 0) {
        close(sock);
    }
    if (ok && answer.error.error) {
        errno = -answer.error.error;
    }
    return ok && !answer.error.error;
}

/* The device of @ifr gets its address; so does the loopback device */
static bool configure(struct ifreq *ifr, int side, unsigned net, unsigned mtu)
{
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq lo = { .ifr_name = "lo" };
    char address[32];
    bool ok;

    snprintf(address, sizeof(address), "10.9.%u.%d", net, side + 1);
    ok = sock >= 0 && set_up(sock, &lo) &&
         set_address(sock, ifr, SIOCSIFADDR, address) &&
         set_address(sock, ifr, SIOCSIFNETMASK, "255.255.255.0");
    ifr->ifr_mtu = mtu;
    ok = ok && ioctl(sock, SIOCSIFMTU, ifr) == 0 &&
         set_queue(ifr->ifr_name) && set_up(sock, ifr);
    if (!ok) {
        fail(ifr->ifr_name);
    }
    if (sock >= 0) {
        close(sock);
    }
    return ok;
}

int side_open(const char *join, int side, unsigned net, unsigned mtu)
{
    struct ifreq ifr = { .ifr_flags = IFF_TUN | IFF_NO_PI };
    int fd;

    if (!enter(join)) {
        return -1;
    }
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        fail("/dev/net/tun");
        return -1;
    }
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "rio%u%c", net, 'a' + side);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        fail(ifr.ifr_name);
        close(fd);
        return -1;
    }
    if (!configure(&ifr, side, net, mtu)) {
        close(fd);
        return -1;
    }
    return fd;
}
