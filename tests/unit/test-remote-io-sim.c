/*
 * remote-io: both ends and a bad network, in one process and virtual time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One seed is one schedule: what both ends say and when, how the bytes are
 * cut and delayed, when a connection dies, whether anybody hears of it, and
 * what is still under way when the next one is made.  Whatever happens, each
 * message is delivered once and in order, memory stays bounded, and when the
 * network heals everything arrives.
 *
 * RIO_SIM_SEED=N runs schedule N alone; RIO_SIM_SCHEDULES=N runs that many.
 */

#include "qemu/osdep.h"
#include "net/remote-io/link.h"

#define SCHEDULES   5000        /* a few seconds */
#define STEPS       400         /* of bad weather */
#define HEALED_MS   60000       /* until all must have arrived */
#define PIPE        20000       /* bytes that the network holds */
#define UPDATE_MAX  6000
#define CONNS       4

static uint64_t seed;

#define CHECK(cond) \
    do { \
        if (!(cond)) { \
            g_error("RIO_SIM_SEED=%" PRIu64 ": %s", seed, #cond); \
        } \
    } while (0)

/* Bytes under way in one direction */
typedef struct Pipe {
    uint8_t bytes[PIPE];
    size_t n;
    bool hole;                  /* what is sent now vanishes */
    bool ended;                 /* the receiver sees the end after @n bytes */
} Pipe;

/* A connection: each end has a link until it hears or decides it is over */
typedef struct Conn {
    Pipe up, down;              /* to the server, to the client */
    RioLink *client;
    RioLink *server;
} Conn;

typedef struct Sim {
    GRand *r;
    int64_t now;
    bool healed;
    Conn conns[CONNS];

    RioSession *client;
    RioSession *server;
    Conn *client_on;            /* connection the client uses, or NULL */
    Conn *server_on;            /* connection that carries the session */
    uint32_t next_epoch;        /* of the client's next RESUME */
    uint32_t log_limit;

    /* What was said, and how much of it was heard */
    GArray *up_said, *down_said;
    guint up_heard, down_heard;
    GQueue replies;             /* values that the server owes */
    unsigned resumes, stale;
} Sim;

static const uint8_t token[RIO_TOKEN_SIZE] = { 42 };
static const RioIds ids = { 1, 1, 1, 1 };

/* Over all schedules, so that a simulation that tests nothing shows */
static unsigned total_resumes, total_stale, total_heard;

static unsigned below(Sim *sim, unsigned n)
{
    return g_rand_int_range(sim->r, 0, n);
}

/* --- what is said --- */

static uint64_t word(unsigned kind, uint64_t value)
{
    return (uint64_t)kind << 32 | value;
}

static void heard(GArray *said, guint *count, uint64_t what)
{
    CHECK(*count < said->len);
    CHECK(g_array_index(said, uint64_t, *count) == what);
    ++*count;
    total_heard++;
}

static void send_or_not(RioSession *s, RioMessage *m, GArray *said,
                        uint64_t what)
{
    if (rio_session_send(s, m)) {
        g_array_append_val(said, what);
    }
}

static void say_update(Sim *sim, RioSession *s, GArray *said)
{
    static uint8_t data[UPDATE_MAX];
    uint32_t n = 1 + below(sim, UPDATE_MAX);
    RioMessage m = {
        .op = RIO_OP_MEM_UPDATE,
        .mem_update = { .kind = RIO_MEM_DATA, .length = n },
        .payload = { data, n },
    };

    memset(data, n, n);
    send_or_not(s, &m, said, word(RIO_OP_MEM_UPDATE, n));
}

static void say_up(Sim *sim)
{
    uint32_t value = sim->up_said->len;
    uint64_t what = word(RIO_OP_REGION_WRITE, value);
    RioWrite w = { .size = 4, .value = value };
    RioMessage m = {
        .op = RIO_OP_REGION_READ, .read = { .size = 4, .offset = value },
    };

    switch (below(sim, 8)) {
    case 0:
        say_update(sim, sim->client, sim->up_said);
        break;
    case 1:
    case 2:
        send_or_not(sim->client, &m, sim->up_said,
                    word(RIO_OP_REGION_READ, value));
        break;
    default:
        if (rio_session_post(sim->client, &w)) {
            g_array_append_val(sim->up_said, what);
        }
    }
}

static void say_down(Sim *sim)
{
    uint16_t vector = sim->down_said->len % RIO_MAX_MSIX;
    RioMessage m = {
        .op = RIO_OP_IRQ_MESSAGE, .irq_message = { RIO_IRQ_MSIX, vector },
    };

    if (below(sim, 8) == 0) {
        say_update(sim, sim->server, sim->down_said);
    } else {
        send_or_not(sim->server, &m, sim->down_said,
                    word(RIO_OP_IRQ_MESSAGE, vector));
    }
}

/* A reply cannot be given up: the server sends it when the log has room */
static void say_replies(Sim *sim)
{
    while (!g_queue_is_empty(&sim->replies)) {
        uint32_t value = GPOINTER_TO_UINT(g_queue_peek_head(&sim->replies));
        RioMessage m = {
            .op = RIO_OP_REGION_READ_REPLY, .value = { value },
        };
        guint before = sim->down_said->len;

        send_or_not(sim->server, &m, sim->down_said,
                    word(RIO_OP_REGION_READ_REPLY, value));
        if (sim->down_said->len == before) {
            break;
        }
        g_queue_pop_head(&sim->replies);
    }
}

static void hear_update(const RioMessage *m, GArray *said, guint *count)
{
    for (uint32_t i = 0; i < m->payload.len; i++) {
        CHECK(m->payload.data[i] == (uint8_t)m->payload.len);
    }
    heard(said, count, word(RIO_OP_MEM_UPDATE, m->payload.len));
}

static void hear_up(Sim *sim, const RioMessage *m)
{
    switch (m->op) {
    case RIO_OP_REGION_WRITE:
        heard(sim->up_said, &sim->up_heard,
              word(RIO_OP_REGION_WRITE, m->write.value));
        break;
    case RIO_OP_REGION_WRITE_BATCH:
        for (uint32_t i = 0; i < m->batch.count; i++) {
            heard(sim->up_said, &sim->up_heard,
                  word(RIO_OP_REGION_WRITE, rio_batch_get(m, i).value));
        }
        break;
    case RIO_OP_REGION_READ:
        heard(sim->up_said, &sim->up_heard,
              word(RIO_OP_REGION_READ, m->read.offset));
        g_queue_push_tail(&sim->replies, GUINT_TO_POINTER(m->read.offset));
        break;
    case RIO_OP_MEM_UPDATE:
        hear_update(m, sim->up_said, &sim->up_heard);
        break;
    default:
        g_assert_not_reached();
    }
}

static void hear_down(Sim *sim, const RioMessage *m)
{
    switch (m->op) {
    case RIO_OP_IRQ_MESSAGE:
        heard(sim->down_said, &sim->down_heard,
              word(RIO_OP_IRQ_MESSAGE, m->irq_message.vector));
        break;
    case RIO_OP_REGION_READ_REPLY:
        heard(sim->down_said, &sim->down_heard,
              word(RIO_OP_REGION_READ_REPLY, m->value.value));
        break;
    case RIO_OP_MEM_UPDATE:
        hear_update(m, sim->down_said, &sim->down_heard);
        break;
    default:
        g_assert_not_reached();
    }
}

/* --- connections --- */

static void client_leaves(Sim *sim, Conn *c)
{
    rio_link_free(c->client);
    c->client = NULL;
    c->up.ended = true;
    if (sim->client_on == c) {
        rio_session_lost(sim->client);
        sim->client_on = NULL;
    }
}

static void server_leaves(Sim *sim, Conn *c)
{
    rio_link_free(c->server);
    c->server = NULL;
    c->down.ended = true;
    if (sim->server_on == c) {
        rio_session_lost(sim->server);
        sim->server_on = NULL;
    }
}

static RioLink *new_link(Sim *sim, RioSide side)
{
    RioLinkConfig config = {
        .side = side,
        .role = side == RIO_SIDE_CLIENT ? RIO_ROLE_CLIENT : RIO_ROLE_SERVER,
        .name = "sim",
        .caps = RIO_CAP_RESUME | RIO_CAP_MEMORY,
    };

    return rio_link_new(&config, sim->now);
}

/* The client turns to a new connection, whatever became of the old one */
static void reconnect(Sim *sim)
{
    for (int i = 0; i < CONNS; i++) {
        Conn *c = &sim->conns[i];

        if (!c->client && !c->server) {
            if (sim->client_on) {
                client_leaves(sim, sim->client_on);
            }
            memset(&c->up, 0, sizeof(c->up));
            memset(&c->down, 0, sizeof(c->down));
            c->client = new_link(sim, RIO_SIDE_CLIENT);
            c->server = new_link(sim, RIO_SIDE_SERVER);
            sim->client_on = c;
            return;
        }
    }
}

static void ask_to_resume(Sim *sim, Conn *c)
{
    RioMessage m = {
        .op = RIO_OP_RESUME,
        .ids = ids,
        .epoch = sim->next_epoch,
        .resume = { .received = rio_session_received(sim->client) },
    };

    memcpy(m.resume.token, token, RIO_TOKEN_SIZE);
    rio_link_send(c->client, &m);
    if (!sim->healed && below(sim, 10) == 0) {
        rio_link_send(c->client, &m);       /* asks twice */
    }
}

static void on_resume(Sim *sim, Conn *c, const RioMessage *m)
{
    RioMessage reply = {
        .op = RIO_OP_RESUME_REPLY, .ids = ids, .epoch = m->epoch,
    };
    RioError err;

    CHECK(!memcmp(m->resume.token, token, RIO_TOKEN_SIZE));
    if (!rio_session_resume(sim->server, m->epoch, m->resume.received,
                            &err)) {
        CHECK(err.status == RIO_STATUS_STALE_EPOCH);
        reply.status = err.status;
    } else {
        if (sim->server_on) {
            rio_link_remove_session(sim->server_on->server, sim->server);
        }
        sim->server_on = c;
        reply.resume.received = rio_session_received(sim->server);
        rio_link_send(c->server, &reply);
        rio_link_add_session(c->server, sim->server);
        return;
    }
    rio_link_send(c->server, &reply);
}

static void on_resume_reply(Sim *sim, Conn *c, const RioMessage *m)
{
    RioError err;

    if (m->status || m->epoch <= rio_session_epoch(sim->client)) {
        return;                 /* the answer to the second question */
    }
    if (!rio_session_resume(sim->client, m->epoch, m->resume.received,
                            &err)) {
        g_error("RIO_SIM_SEED=%" PRIu64 ": %s", seed, err.text);
    }
    rio_link_add_session(c->client, sim->client);
    sim->next_epoch = m->epoch + 1;
    sim->resumes++;
}

/* --- receiving --- */

static void server_takes(Sim *sim, Conn *c, const RioMessage *m)
{
    RioError err;

    if (m->op == RIO_OP_RESUME) {
        on_resume(sim, c, m);
        return;
    }
    switch (rio_session_receive(sim->server, m, &err)) {
    case RIO_RECEIVE_DELIVER:
        hear_up(sim, m);
        break;
    case RIO_RECEIVE_DROP:
        break;
    case RIO_RECEIVE_BAD:
        /* Only what the old connection still brought may be refused */
        if (err.status != RIO_STATUS_STALE_EPOCH || sim->server_on == c) {
            g_error("RIO_SIM_SEED=%" PRIu64 ": %s", seed, err.text);
        }
        sim->stale++;
        break;
    }
}

static void client_takes(Sim *sim, Conn *c, const RioMessage *m)
{
    RioError err;

    if (m->op == RIO_OP_RESUME_REPLY) {
        on_resume_reply(sim, c, m);
        return;
    }
    switch (rio_session_receive(sim->client, m, &err)) {
    case RIO_RECEIVE_DELIVER:
        hear_down(sim, m);
        break;
    case RIO_RECEIVE_DROP:
        break;
    case RIO_RECEIVE_BAD:
        g_error("RIO_SIM_SEED=%" PRIu64 ": %s", seed, err.text);
    }
}

/* Up to @n bytes of @pipe reach @l */
static void deliver(Sim *sim, Pipe *pipe, RioLink *l, size_t n)
{
    size_t space;
    uint8_t *to = rio_link_rx_space(l, &space);

    n = MIN(MIN(n, pipe->n), space);
    if (n) {
        memcpy(to, pipe->bytes, n);
        memmove(pipe->bytes, pipe->bytes + n, pipe->n - n);
        pipe->n -= n;
        rio_link_received(l, n, sim->now);
    }
    CHECK(space <= 2 * RIO_MAX_MESSAGE);
}

static void receive(Sim *sim, Conn *c, bool at_client)
{
    Pipe *pipe = at_client ? &c->down : &c->up;
    RioLink *l = at_client ? c->client : c->server;
    bool hello = rio_link_state(l) == RIO_LINK_HELLO;
    RioMessage m;
    RioError err;
    RioNextResult result;

    deliver(sim, pipe, l, 1 + below(sim, 4000));
    while ((result = rio_link_next(l, &m, &err)) == RIO_NEXT_MESSAGE) {
        if (at_client) {
            client_takes(sim, c, &m);
        } else {
            server_takes(sim, c, &m);
        }
    }
    if (result != RIO_NEXT_NONE) {
        g_error("RIO_SIM_SEED=%" PRIu64 ": %s", seed, err.text);
    }
    if (at_client && hello && rio_link_state(l) == RIO_LINK_READY) {
        ask_to_resume(sim, c);
        sim->next_epoch++;
    }
    if (pipe->ended && !pipe->n) {
        at_client ? client_leaves(sim, c) : server_leaves(sim, c);
    }
}

/* --- sending --- */

static void transmit(Sim *sim, Pipe *pipe, RioLink *l)
{
    struct iovec iov[4];
    size_t room = 1 + below(sim, sizeof(pipe->bytes) - pipe->n + 1);
    size_t taken = 0;
    int n = rio_link_tx(l, iov, 1 + below(sim, 4));

    CHECK((n > 0) == rio_link_tx_pending(l) || n == 0);
    room = MIN(room, sizeof(pipe->bytes) - pipe->n);
    for (int i = 0; i < n && taken < room; i++) {
        size_t part = MIN(iov[i].iov_len, room - taken);

        if (!pipe->hole) {
            memcpy(pipe->bytes + pipe->n, iov[i].iov_base, part);
            pipe->n += part;
        }
        taken += part;
    }
    if (taken) {
        rio_link_tx_done(l, taken, sim->now);
    }
}

/* --- faults --- */

/* A connection dies, in one of the ways that connections die */
static void cut(Sim *sim, Conn *c)
{
    Pipe *pipe = below(sim, 2) ? &c->up : &c->down;

    switch (below(sim, 4)) {
    case 0:                     /* reset: what was under way is lost */
        c->up.n = below(sim, c->up.n + 1);
        c->down.n = below(sim, c->down.n + 1);
        c->up.ended = c->down.ended = true;
        break;
    case 1:                     /* one direction ends first */
        pipe->n = below(sim, pipe->n + 1);
        pipe->ended = pipe->hole = true;
        break;
    case 2:                     /* silence: nobody hears of it */
        c->up.hole = c->down.hole = true;
        break;
    case 3:                     /* silence one way */
        pipe->hole = true;
        break;
    }
    if (pipe->ended) {
        c->up.hole = c->down.hole = true;
    }
}

static void tick(Sim *sim, Conn *c)
{
    RioError err;
    int64_t next;

    if (c->client && !rio_link_tick(c->client, sim->now, &next, &err)) {
        client_leaves(sim, c);
    }
    if (c->server && !rio_link_tick(c->server, sim->now, &next, &err)) {
        server_leaves(sim, c);
    }
}

static void step_conn(Sim *sim, Conn *c)
{
    if (c->client) {
        transmit(sim, &c->up, c->client);
    }
    if (c->server) {
        transmit(sim, &c->down, c->server);
    }
    if (c->server && below(sim, 3)) {
        receive(sim, c, false);
    }
    if (c->client && below(sim, 3)) {
        receive(sim, c, true);
    }
    tick(sim, c);
    if (!sim->healed && below(sim, 60) == 0) {
        cut(sim, c);
    }
}

static void check_bounds(Sim *sim)
{
    CHECK(rio_session_log_bytes(sim->client) <= sim->log_limit);
    CHECK(rio_session_log_bytes(sim->server) <= sim->log_limit);
}

static void step(Sim *sim)
{
    sim->now += below(sim, 4) ? below(sim, 5) : below(sim, 300);
    if (!sim->healed) {
        for (unsigned i = below(sim, 6); i--; ) {
            say_up(sim);
        }
        for (unsigned i = below(sim, 4); i--; ) {
            say_down(sim);
        }
    }
    say_replies(sim);
    if (!sim->client_on || (!sim->healed && below(sim, 80) == 0)) {
        reconnect(sim);
    }
    for (int i = 0; i < CONNS; i++) {
        step_conn(sim, &sim->conns[i]);
    }
    check_bounds(sim);
}

/* No more faults: what is broken is found dead, what is left arrives */
static void heal(Sim *sim)
{
    int64_t until = sim->now + HEALED_MS;

    sim->healed = true;
    while (sim->up_heard < sim->up_said->len ||
           sim->down_heard < sim->down_said->len ||
           !g_queue_is_empty(&sim->replies) ||
           rio_session_log_bytes(sim->client) ||
           rio_session_log_bytes(sim->server)) {
        CHECK(sim->now < until);
        step(sim);
    }
}

static void run_schedule(void)
{
    g_autofree Sim *sim = g_new0(Sim, 1);

    sim->r = g_rand_new_with_seed(seed);
    sim->up_said = g_array_new(false, false, sizeof(uint64_t));
    sim->down_said = g_array_new(false, false, sizeof(uint64_t));
    g_queue_init(&sim->replies);
    sim->log_limit = below(sim, 2) ? RIO_MIN_LOG : 4 * RIO_MIN_LOG;
    sim->client = rio_session_new(RIO_SIDE_CLIENT);
    sim->server = rio_session_new(RIO_SIDE_SERVER);
    rio_session_start(sim->client, &ids, 1, token, sim->log_limit);
    rio_session_start(sim->server, &ids, 1, token, sim->log_limit);
    rio_session_lost(sim->client);
    rio_session_lost(sim->server);
    sim->next_epoch = 2;

    for (int i = 0; i < STEPS; i++) {
        step(sim);
    }
    heal(sim);
    total_resumes += sim->resumes;
    total_stale += sim->stale;

    for (int i = 0; i < CONNS; i++) {
        rio_link_free(sim->conns[i].client);
        rio_link_free(sim->conns[i].server);
    }
    rio_session_free(sim->client);
    rio_session_free(sim->server);
    g_array_free(sim->up_said, true);
    g_array_free(sim->down_said, true);
    g_queue_clear(&sim->replies);
    g_rand_free(sim->r);
}

static void test_each_message_once_and_in_order(void)
{
    const char *only = g_getenv("RIO_SIM_SEED");
    const char *many = g_getenv("RIO_SIM_SCHEDULES");
    uint64_t n = many ? g_ascii_strtoull(many, NULL, 10) : SCHEDULES;

    if (only) {
        seed = g_ascii_strtoull(only, NULL, 10);
        run_schedule();
        return;
    }
    for (seed = 1; seed <= n; seed++) {
        run_schedule();
    }
    g_test_message("%" PRIu64 " schedules, %u messages, %u resumes, "
                   "%u stale messages refused", n, total_heard,
                   total_resumes, total_stale);
    /* The weather was bad enough */
    g_assert_cmpuint(total_resumes, >, n);
    g_assert_cmpuint(total_stale, >, n / 100);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-io/sim/each-message-once-and-in-order",
                    test_each_message_once_and_in_order);
    return g_test_run();
}
