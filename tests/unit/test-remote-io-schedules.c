/*
 * remote-io: sessions over a hostile network, schedule by schedule
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One seed is one schedule: a client, a server, perhaps a forwarder between
 * them, and everything that can happen to what they say.  Messages are
 * dropped, duplicated, delayed and truncated, connections are cut at any byte,
 * and either end is restarted between any two steps: moved to another
 * process, brought back from what its journal has, or lost for good.
 * Whatever happens, each access is carried out once and in order, each reply
 * is that of its read and comes behind the interrupts before it, no interrupt
 * is lost, memory stays bounded, and when the network heals all that is left
 * arrives.
 *
 * There are no links here, so that a schedule takes microseconds; whole
 * connections are the subject of test-remote-io-sim.c.  That the simulation
 * would notice is shown by breaking its own parts, one by one.
 *
 * --schedules N, --seed S (that one alone), --first S, --jobs N
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "net/remote-io/session.h"

#define SCHEDULES   1000000     /* well within two minutes */
#define JOBS        2
#define STEPS       40          /* of bad weather */
#define HEALED      2000        /* steps until all must have arrived */
#define PIPE        2048        /* bytes that one leg of the network holds */
#define CONNS       2
#define READS       32          /* that wait for their replies */
#define HELD        64
#define CAUGHT      42          /* exit code of a broken run that shows */

typedef enum {
    NOTHING,
    DUPLICATES_ACTED_UPON,      /* what is to be dropped is delivered */
    RESUME_CLAIMS_MORE,         /* "received" in RESUME is one too many */
    RESUME_CLAIMS_LESS,         /* ... and acted upon once more */
    FORWARDER_LOSES,            /* one message, in silence */
    FORWARDER_SWAPS,            /* two neighbours */
    JOURNAL_LATE,               /* a restart finds the commit before the last */
    NO_FENCE,                   /* what is not in the journal yet goes out */
    HELD_IS_KEPT,               /* ... and acted upon, though it comes again */
    MOVE_FORGETS_LOG,           /* the picture of a session without its log */
    IRQ_OVERTAKEN,              /* a reply passes an interrupt */
    BROKEN_MAX,
} Broken;

static const char *const broken_names[BROKEN_MAX] = {
    "nothing", "duplicates-acted-upon", "resume-claims-more",
    "resume-claims-less", "forwarder-loses", "forwarder-swaps",
    "journal-late", "no-fence", "held-is-kept", "move-forgets-log",
    "irq-overtaken",
};

static Broken broken;
static bool quiet;              /* a run that is to fail */
static uint64_t seed;

static G_NORETURN void failed(const char *what, int line)
{
    if (!quiet) {
        fprintf(stderr, "schedule broke a promise, line %d: %s; repeat it "
                "with --seed %" PRIu64 "\n", line, what, seed);
    }
    _exit(CAUGHT);
}

#define CHECK(cond) \
    do { \
        if (G_UNLIKELY(!(cond))) { \
            failed(#cond, __LINE__); \
        } \
    } while (0)

/* Bytes under way on one leg */
typedef struct Pipe {
    uint32_t head, tail;
    bool hole;                  /* what is sent now vanishes */
    bool ended;                 /* the receiver sees the end behind @tail */
    bool tampered;              /* messages were taken out of it */
    uint8_t bytes[PIPE];
} Pipe;

/* From the client to the server, by way of a forwarder or not */
typedef struct Conn {
    bool open;
    bool ready;                 /* the client's session is on it */
    Pipe up[2], down[2];        /* the first leg; the second, if forwarded */
    RioSession *queue[2];       /* of the forwarder: up, down */
} Conn;

/* What the client's device knows */
typedef struct Client {
    uint32_t said;              /* accesses so far */
    uint32_t irqs;              /* interrupts heard */
    uint32_t reads[READS];      /* without a reply */
    uint32_t first_read, last_read;
} Client;

/* What the module knows */
typedef struct Server {
    uint32_t heard;             /* accesses carried out */
    uint32_t irqs;              /* interrupts raised */
    uint32_t owed[READS];       /* replies */
    uint32_t first_owed, last_owed;
} Server;

/* A message that is not acted upon yet */
typedef struct Held {
    RioMessage m;
    uint8_t payload[512];
} Held;

typedef struct Picture {
    GByteArray *session;        /* NULL = none */
    Server server;
} Picture;

typedef struct Sim {
    uint64_t random;
    bool healed;
    bool forwarded, journaled, holds;
    bool moves;                 /* not with a log smaller than the wire has */
    uint32_t log_limit;
    uint32_t life;              /* of the server: sessions in vain before */

    RioSession *client_session;
    RioSession *server_session; /* NULL = lost with its process */
    Client client;
    Server server;
    Picture now, before;        /* commits of the journal */
    uint32_t next_epoch;
    Conn *client_on, *server_on;
    Conn conns[CONNS];
    Held held[HELD];
    uint32_t first_held, last_held;
} Sim;

/* Over all schedules, so that a simulation of nothing shows */
typedef struct Totals {
    uint64_t schedules, accesses, replies, irqs;
    uint64_t resumes, stale, dropped, duplicates, tampered;
    uint64_t moves, restarts, losses, forwarder_restarts, full, held;
} Totals;

static Totals totals;
static Sim sim;                 /* one at a time, never allocated */

static const RioIds ids = { 1, 1, 1, 1 };

/* --- chance --- */

static uint32_t chance(void)
{
    uint64_t z = sim.random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z >> 32;
}

static uint32_t below(uint32_t n)
{
    return ((uint64_t)chance() * n) >> 32;
}

static bool one_in(uint32_t n)
{
    return below(n) == 0;
}

static bool fault(uint32_t n)
{
    return !sim.healed && one_in(n);
}

/* --- what is said; the number of an access decides what it is --- */

static bool is_read(uint32_t number)
{
    return (number * 2654435761u) >> 30 == 0;
}

static bool say_read(uint32_t number)
{
    RioMessage m;
    Client *c = &sim.client;

    if (c->last_read - c->first_read == READS) {
        return false;
    }
    rio_message_init(&m, RIO_OP_REGION_READ, 0, number);
    m.read.size = 4;
    m.read.offset = number;
    if (!rio_session_send(sim.client_session, &m)) {
        return false;
    }
    c->reads[c->last_read++ % READS] = number;
    return true;
}

static bool say_access(void)
{
    uint32_t number = sim.client.said;
    RioWrite w = { .size = 4, .value = number };

    if (is_read(number) ? say_read(number)
                        : rio_session_post(sim.client_session, &w)) {
        sim.client.said++;
        return true;
    }
    totals.full++;
    return false;
}

static bool say_irq(void)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_IRQ_MESSAGE, 0, 0);
    m.irq_message.kind = RIO_IRQ_MSIX;
    m.irq_message.vector = sim.server.irqs % RIO_MAX_MSIX;
    if (!rio_session_send(sim.server_session, &m)) {
        return false;
    }
    sim.server.irqs++;
    return true;
}

/* A reply says how many interrupts came before it */
static bool say_reply(void)
{
    Server *s = &sim.server;
    RioMessage m;

    if (s->first_owed == s->last_owed) {
        return false;
    }
    rio_message_init(&m, RIO_OP_REGION_READ_REPLY, 0,
                     s->owed[s->first_owed % READS]);
    m.value.value = s->irqs + (broken == IRQ_OVERTAKEN && one_in(50));
    if (!rio_session_send(sim.server_session, &m)) {
        return false;
    }
    s->first_owed++;
    return true;
}

/* --- what is heard --- */

static void carry_out(uint32_t number, bool read)
{
    Server *s = &sim.server;

    CHECK(number == s->heard);
    CHECK(read == is_read(number));
    s->heard++;
    totals.accesses++;
    if (read) {
        CHECK(s->last_owed - s->first_owed < READS);
        s->owed[s->last_owed++ % READS] = number;
    }
}

static void server_hears(const RioMessage *m)
{
    switch (m->op) {
    case RIO_OP_REGION_WRITE:
        carry_out(m->write.value, false);
        break;
    case RIO_OP_REGION_WRITE_BATCH:
        for (uint32_t i = 0; i < m->batch.count; i++) {
            carry_out(rio_batch_get(m, i).value, false);
        }
        break;
    case RIO_OP_REGION_READ:
        carry_out(m->read.offset, true);
        break;
    default:
        CHECK(false);
    }
}

static void client_hears(const RioMessage *m)
{
    Client *c = &sim.client;

    if (m->op == RIO_OP_IRQ_MESSAGE) {
        CHECK(m->irq_message.vector == c->irqs % RIO_MAX_MSIX);
        c->irqs++;
        totals.irqs++;
        return;
    }
    CHECK(m->op == RIO_OP_REGION_READ_REPLY);
    CHECK(c->first_read != c->last_read);
    CHECK(m->tag == c->reads[c->first_read++ % READS]);
    CHECK(m->value.value == c->irqs);
    totals.replies++;
}

/* --- waiting for its turn, as over a forwarder --- */

static void hold(const RioMessage *m)
{
    Held *h = &sim.held[sim.last_held++ % HELD];

    CHECK(m->payload.len <= sizeof(h->payload));
    h->m = *m;
    h->m.payload.data = h->payload;
    if (m->payload.len) {
        memcpy(h->payload, m->payload.data, m->payload.len);
    }
    rio_session_hold(sim.server_session, m->length);
    totals.held++;
}

static bool may_hold(const RioMessage *m)
{
    uint32_t waiting = sim.last_held - sim.first_held;

    return sim.holds && waiting < HELD && m->payload.len <= 512 &&
           (waiting || fault(3));
}

static void act_upon_held(void)
{
    while (sim.first_held != sim.last_held && (sim.healed || one_in(3))) {
        Held *h = &sim.held[sim.first_held++ % HELD];

        rio_session_release(sim.server_session, h->m.length);
        server_hears(&h->m);
    }
}

static void forget_held(void)
{
    if (broken == HELD_IS_KEPT) {
        while (sim.first_held != sim.last_held) {
            server_hears(&sim.held[sim.first_held++ % HELD].m);
        }
    }
    sim.first_held = sim.last_held;
    rio_session_drop_held(sim.server_session);
}

/* --- the journal --- */

static void picture_free(Picture *p)
{
    if (p->session) {
        g_byte_array_unref(p->session);
        p->session = NULL;
    }
}

static void commit(void)
{
    if (broken != NO_FENCE) {
        rio_session_commit(sim.server_session);
    }
    picture_free(&sim.before);
    sim.before = sim.now;
    sim.now.session = rio_session_export(sim.server_session);
    sim.now.server = sim.server;
    CHECK(sim.now.session);
}

/* --- connections --- */

static void close_conn(Conn *c)
{
    if (sim.client_on == c) {
        rio_session_lost(sim.client_session);
        sim.client_on = NULL;
    }
    if (sim.server_on == c) {
        rio_session_lost(sim.server_session);
        sim.server_on = NULL;
    }
    for (int i = 0; i < 2; i++) {
        rio_session_free(c->queue[i]);
        c->queue[i] = NULL;
    }
    c->open = false;
}

static void pipe_reset(Pipe *p)
{
    p->head = p->tail = 0;
    p->hole = p->ended = p->tampered = false;
}

static bool pipe_put(Pipe *p, const RioMessage *m)
{
    size_t n;

    if (p->hole) {
        return true;
    }
    n = rio_encode(m, p->bytes + p->tail, PIPE - p->tail);
    p->tail += n;
    return n;
}

static void ask_to_resume(Conn *c)
{
    RioMessage m;

    rio_message_init(&m, RIO_OP_RESUME, 0, 0);
    m.ids = ids;
    m.epoch = sim.next_epoch++;
    m.resume.received = rio_session_acknowledged(sim.client_session) +
        (broken == RESUME_CLAIMS_MORE &&
         rio_session_received(sim.client_session) && one_in(3));
    memcpy(m.resume.token, rio_session_token(sim.client_session),
           RIO_TOKEN_SIZE);
    CHECK(pipe_put(&c->up[0], &m));
}

/* The client turns to a new connection, whatever became of the old one */
static void reconnect(void)
{
    Conn *c = &sim.conns[0];

    if (c == sim.client_on || (c->open && !sim.conns[1].open)) {
        c = &sim.conns[1];
    }
    if (sim.client_on) {
        rio_session_lost(sim.client_session);
        sim.client_on = NULL;
    }
    if (c->open) {
        close_conn(c);
    }
    for (int i = 0; i < 2; i++) {
        pipe_reset(&c->up[i]);
        pipe_reset(&c->down[i]);
        c->queue[i] = sim.forwarded ? rio_session_new_relay(&ids, 4096) : NULL;
    }
    c->open = true;
    c->ready = false;
    sim.client_on = c;
    ask_to_resume(c);
}

/* --- beginning, and beginning again --- */

static void new_token(uint8_t *token)
{
    memset(token, 0, RIO_TOKEN_SIZE);
    token[0] = sim.life + 1;
}

static RioSession *new_session(RioSide side)
{
    RioSession *s = rio_session_new(side);
    uint8_t token[RIO_TOKEN_SIZE];

    new_token(token);
    rio_session_start(s, &ids, 1, token, sim.log_limit);
    rio_session_lost(s);
    return s;
}

/* As ATTACH does: nothing of the former session lives on */
static void attach(void)
{
    rio_session_free(sim.client_session);
    rio_session_free(sim.server_session);
    memset(&sim.client, 0, sizeof(sim.client));
    memset(&sim.server, 0, sizeof(sim.server));
    sim.first_held = sim.last_held = 0;
    sim.client_session = new_session(RIO_SIDE_CLIENT);
    sim.server_session = new_session(RIO_SIDE_SERVER);
    sim.next_epoch = 2;
    if (sim.journaled) {
        if (broken != NO_FENCE) {
            rio_session_fence(sim.server_session);
        }
        picture_free(&sim.now);
        picture_free(&sim.before);
        commit();
    }
}

/* --- receiving --- */

static void on_resume(Conn *c, const RioMessage *m)
{
    RioMessage reply;
    RioError err;

    rio_message_init(&reply, RIO_OP_RESUME_REPLY, 0, m->tag);
    reply.ids = ids;
    reply.epoch = m->epoch;
    if (!sim.server_session || memcmp(rio_session_token(sim.server_session),
                                      m->resume.token, RIO_TOKEN_SIZE)) {
        CHECK(sim.life);
        reply.status = RIO_STATUS_UNKNOWN_SESSION;
        pipe_put(&c->down[sim.forwarded], &reply);
        return;
    }
    if (!rio_session_resume(sim.server_session, m->epoch, m->resume.received,
                            &err)) {
        CHECK(err.status == RIO_STATUS_STALE_EPOCH);
        return;
    }
    forget_held();
    if (sim.server_on && sim.server_on != c) {
        sim.server_on->down[sim.forwarded].hole = true;
    }
    reply.resume.received = rio_session_acknowledged(sim.server_session);
    if (broken == RESUME_CLAIMS_LESS && one_in(3) && reply.resume.received >
        rio_session_acked(sim.client_session)) {
        sim.server.heard--;
        reply.resume.received--;
    }
    sim.server_on = c;
    CHECK(pipe_put(&c->down[sim.forwarded], &reply));
}

static void on_resume_reply(Conn *c, const RioMessage *m)
{
    RioError err;

    if (c != sim.client_on || c->ready) {
        return;
    }
    if (m->status == RIO_STATUS_UNKNOWN_SESSION) {
        for (int i = 0; i < CONNS; i++) {
            close_conn(&sim.conns[i]);
        }
        attach();
        return;
    }
    CHECK(m->epoch > rio_session_epoch(sim.client_session));
    if (!rio_session_resume(sim.client_session, m->epoch,
                            m->resume.received, &err)) {
        failed(err.text, __LINE__);
    }
    c->ready = true;
    totals.resumes++;
}

/* Returns: false when the connection is over */
static bool end_takes(Conn *c, const RioMessage *m, bool at_server, Pipe *p)
{
    RioSession *s = at_server ? sim.server_session : sim.client_session;
    RioError err;

    if (!s || c != (at_server ? sim.server_on : sim.client_on)) {
        totals.stale++;
        CHECK(!s || at_server == false ||
              rio_session_receive(s, m, &err) == RIO_RECEIVE_BAD);
        return true;
    }
    switch (rio_session_receive(s, m, &err)) {
    case RIO_RECEIVE_DROP:
        totals.dropped += m->seq != 0;
        if (broken != DUPLICATES_ACTED_UPON || !m->seq) {
            break;
        }
        /* fall through */
    case RIO_RECEIVE_DELIVER:
        if (!at_server) {
            client_hears(m);
        } else if (may_hold(m)) {
            hold(m);
        } else {
            server_hears(m);
        }
        break;
    case RIO_RECEIVE_BAD:
        if (!p->tampered) {
            failed(err.text, __LINE__);
        }
        close_conn(c);
        return false;
    }
    return true;
}

/* Returns: false when the connection is over */
static bool take(Conn *c, const RioMessage *m, bool at_server, Pipe *p)
{
    if (m->op == RIO_OP_RESUME) {
        on_resume(c, m);
    } else if (m->op == RIO_OP_RESUME_REPLY) {
        on_resume_reply(c, m);
    } else {
        return end_takes(c, m, at_server, p);
    }
    return c->open;
}

static void pipe_took(Pipe *p, uint32_t n)
{
    p->head += n;
    if (p->head == p->tail) {
        p->head = p->tail = 0;
    } else if (p->head > PIPE / 2) {
        memmove(p->bytes, p->bytes + p->head, p->tail - p->head);
        p->tail -= p->head;
        p->head = 0;
    }
}

/* The next whole message of @p, or false */
static bool next_message(Pipe *p, RioMessage *m)
{
    RioError err;
    RioDecodeResult result = rio_decode(p->bytes + p->head, p->tail - p->head,
                                        RIO_MAX_MESSAGE, m, &err);

    CHECK(result != RIO_DECODE_BAD);
    return result == RIO_DECODE_OK;
}

static void receive(Conn *c, bool at_server)
{
    Pipe *p = at_server ? &c->up[sim.forwarded] : &c->down[0];
    RioMessage m;

    while (c->open && (sim.healed || !one_in(8)) && next_message(p, &m)) {
        uint8_t bytes[PIPE];
        uint32_t length = m.length;

        memcpy(bytes, p->bytes + p->head, length);
        m.payload.data = bytes + (m.payload.data - (p->bytes + p->head));
        pipe_took(p, length);
        if (fault(60) && m.seq) {
            p->tampered = true;         /* dropped: the next one shows it */
            totals.tampered++;
            continue;
        }
        if (!take(c, &m, at_server, p)) {
            return;
        }
        if (fault(20) && m.seq && broken != DUPLICATES_ACTED_UPON) {
            totals.duplicates++;
            if (!take(c, &m, at_server, p)) {
                return;
            }
        }
    }
    if (c->open && p->ended && !next_message(p, &m)) {
        close_conn(c);
    }
}

/* --- sending --- */

static void send_ack(RioSession *s, Pipe *p)
{
    RioMessage m;

    if (PIPE - p->tail >= 64 && (sim.healed || rio_session_wants_ack(s) ||
                                 one_in(8))) {
        rio_session_make_ack(s, &m);
        pipe_put(p, &m);
    }
}

static void transmit(RioSession *s, Pipe *p, bool acks)
{
    const uint8_t *data;
    size_t n = rio_session_tx(s, &data);
    size_t room = MIN(n, PIPE - p->tail);

    if (!sim.healed) {
        room = below(room + 1);
    }
    if (room) {
        if (!p->hole) {
            memcpy(p->bytes + p->tail, data, room);
            p->tail += room;
        }
        if (!rio_session_tx_done(s, room) && acks) {
            send_ack(s, p);
        }
    } else if (!n && acks) {
        send_ack(s, p);
    }
}

/* Whole messages, from one leg into the queue of the next */
static void forward(Conn *c, bool up)
{
    Pipe *from = up ? &c->up[0] : &c->down[1];
    RioSession *queue = c->queue[!up];
    RioMessage m, other;

    while (next_message(from, &m)) {
        RioBytes bytes = { from->bytes + from->head, m.length };
        bool sequenced = m.seq;

        if (broken == FORWARDER_SWAPS && sequenced && one_in(20)) {
            from->head += m.length;
            if (next_message(from, &other) && other.seq) {
                RioBytes second = { from->bytes + from->head, other.length };

                if (rio_session_relay(queue, second, 0) &&
                    rio_session_relay(queue, bytes, 0)) {
                    pipe_took(from, other.length);
                    continue;
                }
                from->hole = true;
                return;
            }
            from->head -= m.length;
        }
        if (!(broken == FORWARDER_LOSES && sequenced && one_in(200)) &&
            !rio_session_relay(queue, bytes, 0)) {
            break;
        }
        pipe_took(from, m.length);
    }
    transmit(queue, up ? &c->up[1] : &c->down[0], false);
}

static void step_conn(Conn *c)
{
    if (sim.client_on == c && c->ready) {
        transmit(sim.client_session, &c->up[0], true);
    }
    if (sim.server_on == c) {
        transmit(sim.server_session, &c->down[sim.forwarded], true);
    }
    if (sim.forwarded) {
        forward(c, true);
        forward(c, false);
    }
    if (sim.healed || below(3)) {
        receive(c, true);
    }
    if (c->open && (sim.healed || below(3))) {
        receive(c, false);
    }
}

/* --- faults --- */

static void cut_short(Pipe *p)
{
    p->tail = p->head + below(p->tail - p->head + 1);
    p->ended = p->hole = true;
}

/* A connection dies, in one of the ways that connections die */
static void cut(Conn *c)
{
    Pipe *up = &c->up[below(1 + sim.forwarded)];
    Pipe *down = &c->down[below(1 + sim.forwarded)];

    switch (below(4)) {
    case 0:                     /* both ways, at any byte */
        cut_short(up);
        cut_short(down);
        break;
    case 1:                     /* one direction ends first */
        cut_short(one_in(2) ? up : down);
        break;
    case 2:                     /* silence: nobody hears of it */
        up->hole = down->hole = true;
        break;
    case 3:                     /* silence one way */
        (one_in(2) ? up : down)->hole = true;
        break;
    }
}

/* Its process is another one; nothing that it knew is lost */
static RioSession *move(RioSession *s, RioSide side)
{
    GByteArray *picture = rio_session_export(s);
    RioSession *copy;
    RioError err;

    CHECK(picture);
    rio_session_free(s);
    copy = rio_session_import((RioBytes) { picture->data, picture->len }, side,
                              &err);
    CHECK(copy);
    g_byte_array_unref(picture);
    if (broken == MOVE_FORGETS_LOG) {
        RioSession *bare = rio_session_new(side);

        rio_session_start(bare, &ids, rio_session_epoch(copy),
                          rio_session_token(copy), sim.log_limit);
        rio_session_lost(bare);
        rio_session_free(copy);
        copy = bare;
    }
    totals.moves++;
    return copy;
}

/* A process goes, and its ends of connections with it */
static void close_all(void)
{
    for (int i = 0; i < CONNS; i++) {
        if (sim.conns[i].open) {
            close_conn(&sim.conns[i]);
        }
    }
}

static void server_restarts(void)
{
    const Picture *p = broken == JOURNAL_LATE && sim.before.session ?
                       &sim.before : &sim.now;
    RioError err;

    close_all();
    if (sim.journaled) {
        rio_session_free(sim.server_session);
        sim.server_session = rio_session_import(
            (RioBytes) { p->session->data, p->session->len }, RIO_SIDE_SERVER,
            &err);
        CHECK(sim.server_session);
        sim.server = p->server;
        if (broken != NO_FENCE) {
            rio_session_fence(sim.server_session);
            rio_session_commit(sim.server_session);
        }
        totals.restarts++;
    } else if (!sim.moves || one_in(4)) {
        /* Nothing is left: the client is told, and nothing is replayed */
        rio_session_free(sim.server_session);
        sim.server_session = NULL;
        sim.life++;
        totals.losses++;
    } else {
        /* Handed over in order, as in a hot upgrade */
        forget_held();
        sim.server_session = move(sim.server_session, RIO_SIDE_SERVER);
    }
}

static void client_moves(void)
{
    close_all();
    sim.client_session = move(sim.client_session, RIO_SIDE_CLIENT);
}

static void trouble(void)
{
    Conn *c = sim.client_on;

    switch (below(8)) {
    case 0:
        if (sim.server_session) {
            server_restarts();
        }
        break;
    case 1:
        if (sim.moves) {
            client_moves();
        }
        break;
    case 2:
        if (sim.forwarded) {
            close_all();        /* the queues go with the forwarder */
            totals.forwarder_restarts++;
        }
        break;
    case 3:
        reconnect();
        break;
    default:
        if (c) {
            cut(c);
        }
    }
}

/* --- a schedule --- */

static void check_bounds(void)
{
    uint32_t limit = sim.log_limit + RIO_MAX_MESSAGE;

    CHECK(rio_session_log_bytes(sim.client_session) <= limit);
    CHECK(!sim.server_session ||
          rio_session_log_bytes(sim.server_session) <= limit);
}

static bool is_broken(const Pipe *p)
{
    return p->hole || p->ended || p->tampered;
}

/* Keep-alive finds it out, once nothing moves any more */
static bool conn_is_broken(const Conn *c)
{
    return is_broken(&c->up[0]) || is_broken(&c->up[1]) ||
           is_broken(&c->down[0]) || is_broken(&c->down[1]);
}

static void say(void)
{
    if (!sim.healed) {
        for (uint32_t i = below(5); i--; ) {
            say_access();
        }
        for (uint32_t i = sim.server_session ? below(3) : 0; i--; ) {
            say_irq();
        }
    }
    if (sim.server_session) {
        act_upon_held();
        while ((sim.healed || below(3)) && say_reply()) {
            /* the next one */
        }
        if (sim.journaled && (sim.healed || one_in(3))) {
            commit();
        }
    }
}

static void step(void)
{
    say();
    if (!sim.client_on || (sim.healed && conn_is_broken(sim.client_on))) {
        if (sim.healed || one_in(2)) {
            reconnect();
        }
    }
    for (int i = 0; i < CONNS; i++) {
        if (sim.conns[i].open) {
            step_conn(&sim.conns[i]);
        }
    }
    if (fault(12)) {
        trouble();
    }
    check_bounds();
}

static bool all_arrived(void)
{
    return sim.server_session && sim.server.heard == sim.client.said &&
           sim.client.irqs == sim.server.irqs &&
           sim.client.first_read == sim.client.last_read &&
           !rio_session_log_bytes(sim.client_session) &&
           !rio_session_log_bytes(sim.server_session);
}

static void begin(void)
{
    sim.random = seed * UINT64_C(0xd1342543de82ef95) + 1;
    sim.healed = false;
    sim.forwarded = one_in(4);
    sim.moves = one_in(2);
    sim.journaled = sim.moves && one_in(2);
    sim.holds = !sim.journaled && one_in(3);
    sim.log_limit = sim.moves ? RIO_MIN_LOG : 256u << below(4);
    sim.life = 0;
    sim.client_on = sim.server_on = NULL;
    attach();
}

static void end(void)
{
    close_all();
    rio_session_free(sim.client_session);
    rio_session_free(sim.server_session);
    sim.client_session = sim.server_session = NULL;
    picture_free(&sim.now);
    picture_free(&sim.before);
}

static void run_schedule(void)
{
    begin();
    for (int i = 0; i < STEPS; i++) {
        step();
    }
    sim.healed = true;
    for (int i = 0; !all_arrived(); i++) {
        CHECK(i < HEALED);
        step();
    }
    end();
    totals.schedules++;
}

/* --- many of them, in several processes --- */

static void run_many(uint64_t first, uint64_t n, unsigned part, unsigned of)
{
    for (seed = first + part; seed < first + n; seed += of) {
        run_schedule();
    }
}

static void add_totals(Totals *to, const Totals *t)
{
    const uint64_t *from = (const uint64_t *)t;

    for (size_t i = 0; i < sizeof(*t) / sizeof(uint64_t); i++) {
        ((uint64_t *)to)[i] += from[i];
    }
}

/* Returns: the exit status, with the totals of the child added to ours */
static int wait_for(pid_t pid, int fd)
{
    Totals t = { 0 };
    int status;

    if (read(fd, &t, sizeof(t)) == sizeof(t)) {
        add_totals(&totals, &t);
    }
    close(fd);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return status;
}

static pid_t start(uint64_t first, uint64_t n, unsigned part, unsigned of,
                   int *fd)
{
    int ends[2];
    pid_t pid;

    g_assert_cmpint(pipe(ends), ==, 0);
    fflush(NULL);
    pid = fork();
    if (!pid) {
        memset(&totals, 0, sizeof(totals));
        run_many(first, n, part, of);
        _exit(write(ends[1], &totals, sizeof(totals)) != sizeof(totals));
    }
    close(ends[1]);
    *fd = ends[0];
    return pid;
}

static uint64_t option_schedules = SCHEDULES, option_first = 1, option_seed;
static unsigned option_jobs = JOBS;

static void test_promises_hold_in_every_schedule(void)
{
    pid_t pids[64];
    int fds[64];

    if (option_seed) {
        seed = option_seed;
        run_schedule();
        return;
    }
    memset(&totals, 0, sizeof(totals));
    for (unsigned i = 0; i < option_jobs; i++) {
        pids[i] = start(option_first, option_schedules, i, option_jobs,
                        &fds[i]);
    }
    for (unsigned i = 0; i < option_jobs; i++) {
        g_assert_cmpint(wait_for(pids[i], fds[i]), ==, 0);
    }
    g_assert_cmpuint(totals.schedules, ==, option_schedules);
    g_test_message("seeds %" PRIu64 " to %" PRIu64 ": %" PRIu64 " accesses, %"
                   PRIu64 " replies, %" PRIu64 " interrupts",
                   option_first, option_first + option_schedules - 1,
                   totals.accesses, totals.replies, totals.irqs);
    g_test_message("%" PRIu64 " resumes, %" PRIu64 " stale messages, %" PRIu64
                   " dropped as known, %" PRIu64 " duplicated, %" PRIu64
                   " taken out, %" PRIu64 " held", totals.resumes,
                   totals.stale, totals.dropped, totals.duplicates,
                   totals.tampered, totals.held);
    g_test_message("%" PRIu64 " moves, %" PRIu64 " restarts from the journal, %"
                   PRIu64 " without, %" PRIu64 " of the forwarder, log full %"
                   PRIu64 " times", totals.moves, totals.restarts,
                   totals.losses, totals.forwarder_restarts, totals.full);
    /* The weather was bad enough */
    g_assert_cmpuint(totals.accesses, >, 20 * option_schedules);
    g_assert_cmpuint(totals.resumes, >, 2 * option_schedules);
    g_assert_cmpuint(totals.dropped, >, option_schedules / 4);
    g_assert_cmpuint(totals.stale, >, option_schedules / 4);
    g_assert_cmpuint(totals.tampered, >, option_schedules / 4);
    g_assert_cmpuint(totals.held, >, option_schedules / 4);
    g_assert_cmpuint(totals.moves, >, option_schedules / 4);
    g_assert_cmpuint(totals.restarts, >, option_schedules / 16);
    g_assert_cmpuint(totals.losses, >, option_schedules / 64);
    g_assert_cmpuint(totals.forwarder_restarts, >, option_schedules / 64);
    g_assert_cmpuint(totals.full, >, option_schedules / 16);
}

/* How many schedules the least visible of the breaks may take */
#define BROKEN_SCHEDULES 20000

static void test_broken_part_is_caught(gconstpointer which)
{
    int fd, status;
    pid_t pid;

    broken = GPOINTER_TO_INT(which);
    quiet = true;
    pid = start(1, BROKEN_SCHEDULES, 0, 1, &fd);
    status = wait_for(pid, fd);
    broken = NOTHING;
    quiet = false;
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, CAUGHT);
}

/* Ours are taken out, the rest is glib's */
static void parse_options(int *argc, char **argv)
{
    int kept = 1;

    for (int i = 1; i < *argc; i++) {
        const char *value = i + 1 < *argc ? argv[i + 1] : NULL;
        uint64_t n = value ? g_ascii_strtoull(value, NULL, 10) : 0;

        if (g_str_equal(argv[i], "--schedules")) {
            option_schedules = n;
        } else if (g_str_equal(argv[i], "--seed")) {
            option_seed = n;
        } else if (g_str_equal(argv[i], "--first")) {
            option_first = MAX(n, 1);
        } else if (g_str_equal(argv[i], "--jobs")) {
            option_jobs = MIN(MAX(n, 1), 64);
        } else {
            argv[kept++] = argv[i];
            continue;
        }
        if (!value) {
            fprintf(stderr, "%s needs a number\n", argv[i]);
            exit(EXIT_FAILURE);
        }
        i++;
    }
    *argc = kept;
}

int main(int argc, char **argv)
{
    parse_options(&argc, argv);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote-io/schedules/promises-hold-in-every-one",
                    test_promises_hold_in_every_schedule);
    for (int i = NOTHING + 1; i < BROKEN_MAX && !option_seed; i++) {
        g_autofree char *path = g_strdup_printf(
            "/remote-io/schedules/caught/%s", broken_names[i]);

        g_test_add_data_func(path, GINT_TO_POINTER(i),
                             test_broken_part_is_caught);
    }
    return g_test_run();
}
