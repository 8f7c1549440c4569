/*
 * remote-io-server: never do both ends of a move act, and one does at last
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Source and target are the real state machines; between them is a network
 * that loses connections at any step, and both may lose their process.
 */

#include "qemu/osdep.h"
#include "net/remote-io/protocol.h"
#include "server/move-machine.h"

/* --- single steps --- */

static void test_a_move_without_trouble(void)
{
    static const struct {
        RiodMoveEvent event;
        RiodMoveAction action;
        RiodMoveState state;
    } steps[] = {
        { RIOD_MOVE_SAYS_OFFERED, RIOD_MOVE_STOP, RIOD_MOVE_STOPPING },
        { RIOD_MOVE_STOPPED, RIOD_MOVE_SEND, RIOD_MOVE_SENDING },
        { RIOD_MOVE_SAYS_OFFERED, RIOD_MOVE_NOTHING, RIOD_MOVE_SENDING },
        { RIOD_MOVE_SAYS_LOADED, RIOD_MOVE_SEND_COMMIT,
          RIOD_MOVE_COMMITTING },
        { RIOD_MOVE_SAYS_COMMITTED, RIOD_MOVE_HAND_OVER, RIOD_MOVE_DONE },
    };
    RiodMoveState state = RIOD_MOVE_OFFERING;

    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_assert_cmpint(riod_move_next(&state, steps[i].event), ==,
                        steps[i].action);
        g_assert_cmpint(state, ==, steps[i].state);
    }
}

/* Before COMMIT: whatever goes wrong, the source goes on, and says so */
static void test_any_trouble_before_commit_leaves_it_here(void)
{
    static const RiodMoveEvent troubles[] = {
        RIOD_MOVE_SAYS_NONE, RIOD_MOVE_LOST, RIOD_MOVE_GIVE_UP,
        RIOD_MOVE_SAYS_COMMITTED,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(troubles); i++) {
        RiodMoveState state = RIOD_MOVE_OFFERING;

        g_assert_cmpint(riod_move_next(&state, troubles[i]), ==,
                        RIOD_MOVE_SEND_ABORT);
        g_assert_cmpint(state, ==, RIOD_MOVE_FAILED);
        state = RIOD_MOVE_SENDING;
        g_assert_cmpint(riod_move_next(&state, troubles[i]), ==,
                        RIOD_MOVE_GO_ON);
        g_assert_cmpint(state, ==, RIOD_MOVE_FAILED);
        state = RIOD_MOVE_STOPPING;
        g_assert_cmpint(riod_move_next(&state, troubles[i]), ==,
                        RIOD_MOVE_NOTHING);
        g_assert_cmpint(riod_move_next(&state, RIOD_MOVE_STOPPED), ==,
                        RIOD_MOVE_GO_ON);
        g_assert_cmpint(state, ==, RIOD_MOVE_FAILED);
    }
}

static void test_what_cannot_stop_goes_on(void)
{
    RiodMoveState state = RIOD_MOVE_STOPPING;

    g_assert_cmpint(riod_move_next(&state, RIOD_MOVE_NOT_STOPPED), ==,
                    RIOD_MOVE_SEND_ABORT);
    g_assert_cmpint(state, ==, RIOD_MOVE_FAILED);
    state = RIOD_MOVE_DOOMED;
    g_assert_cmpint(riod_move_next(&state, RIOD_MOVE_NOT_STOPPED), ==,
                    RIOD_MOVE_SEND_ABORT);
    g_assert_cmpint(state, ==, RIOD_MOVE_FAILED);
}

/* Nobody but the target can release a source that sent COMMIT */
static void test_commit_is_ended_by_the_target_alone(void)
{
    for (unsigned event = 0; event < RIOD_MOVE_EVENTS; event++) {
        RiodMoveState state = RIOD_MOVE_COMMITTING;

        riod_move_next(&state, event);
        if (event == RIOD_MOVE_SAYS_NONE) {
            g_assert_cmpint(state, ==, RIOD_MOVE_FAILED);
        } else if (event == RIOD_MOVE_SAYS_COMMITTED) {
            g_assert_cmpint(state, ==, RIOD_MOVE_DONE);
        } else {
            g_assert_cmpint(state, ==, RIOD_MOVE_COMMITTING);
        }
    }
}

static void test_final_states_stay(void)
{
    for (unsigned event = 0; event < RIOD_MOVE_EVENTS; event++) {
        RiodMoveState done = RIOD_MOVE_DONE, failed = RIOD_MOVE_FAILED;

        g_assert_cmpint(riod_move_next(&done, event), ==, RIOD_MOVE_NOTHING);
        g_assert_cmpint(done, ==, RIOD_MOVE_DONE);
        g_assert_cmpint(riod_move_next(&failed, event), ==,
                        RIOD_MOVE_NOTHING);
        g_assert_cmpint(failed, ==, RIOD_MOVE_FAILED);
    }
}

static void test_target_acts_only_when_loaded_and_told(void)
{
    for (unsigned phase = 0; phase <= RIO_MOVE_COMMITTED; phase++) {
        for (unsigned event = 0; event < RIOD_TARGET_EVENTS; event++) {
            g_assert((riod_move_target_next(phase, event) ==
                      RIOD_TARGET_ACT) ==
                     (phase == RIO_MOVE_LOADED &&
                      event == RIOD_TARGET_COMMIT));
        }
    }
    /* What is committed is forgotten for nobody */
    g_assert_cmpint(riod_move_target_next(RIO_MOVE_COMMITTED,
                                          RIOD_TARGET_ABORT), ==,
                    RIOD_TARGET_TELL);
    g_assert_cmpint(riod_move_target_next(RIO_MOVE_COMMITTED,
                                          RIOD_TARGET_TIMEOUT), ==,
                    RIOD_TARGET_TELL);
}

/* --- all courses --- */

enum { OFFER, DATA, WHOLE, COMMIT, ASK, ABORT };        /* to the target */

typedef struct World {
    RiodMoveState source;
    bool stopped;               /* the source's module */
    bool stop_asked;
    bool source_dead;
    unsigned phase;             /* of the target */
    bool target_acts;
    bool target_dead;           /* the process that acted is no more */
    bool connected;
    int down[8];                /* requests on their way */
    unsigned num_down;
    int up[8];                  /* phases on their way back */
    unsigned num_up;
} World;

static bool source_acts(const World *w)
{
    return !w->source_dead && !w->stopped;
}

static void request(World *w, int what)
{
    if (w->connected && w->num_down < G_N_ELEMENTS(w->down)) {
        w->down[w->num_down++] = what;
    }
}

static void happens(World *w, RiodMoveEvent event)
{
    if (w->source_dead) {
        return;
    }
    switch (riod_move_next(&w->source, event)) {
    case RIOD_MOVE_STOP:
        w->stop_asked = true;
        break;
    case RIOD_MOVE_SEND:
        request(w, DATA);
        request(w, WHOLE);
        break;
    case RIOD_MOVE_SEND_COMMIT:
        request(w, COMMIT);
        break;
    case RIOD_MOVE_SEND_ASK:
        request(w, ASK);
        break;
    case RIOD_MOVE_GO_ON:
        g_assert_true(w->stopped);
        w->stopped = false;
        /* fall through */
    case RIOD_MOVE_SEND_ABORT:
        request(w, ABORT);
        break;
    case RIOD_MOVE_HAND_OVER:
    case RIOD_MOVE_NOTHING:
        break;
    }
}

static void tell(World *w)
{
    if (w->connected && w->num_up < G_N_ELEMENTS(w->up)) {
        w->up[w->num_up++] = w->phase;
    }
}

static void target_event(World *w, RiodMoveTargetEvent event, bool fails)
{
    switch (riod_move_target_next(w->phase, event)) {
    case RIOD_TARGET_LOAD:
        w->phase = fails ? RIO_MOVE_NONE : RIO_MOVE_LOADED;
        break;
    case RIOD_TARGET_ACT:
        w->phase = fails ? RIO_MOVE_NONE : RIO_MOVE_COMMITTED;
        w->target_acts = !fails;
        break;
    case RIOD_TARGET_FORGET:
        w->phase = RIO_MOVE_NONE;
        break;
    default:
        break;
    }
}

static void target_takes(World *w, bool fails)
{
    int what = w->down[0];

    memmove(w->down, w->down + 1, --w->num_down * sizeof(int));
    switch (what) {
    case OFFER:
        w->phase = fails ? RIO_MOVE_NONE : RIO_MOVE_OFFERED;
        break;
    case DATA:
        target_event(w, RIOD_TARGET_DATA, fails);
        break;
    case WHOLE:
        target_event(w, RIOD_TARGET_WHOLE, fails);
        break;
    case COMMIT:
        target_event(w, RIOD_TARGET_COMMIT, fails);
        break;
    case ABORT:
        target_event(w, RIOD_TARGET_ABORT, fails);
        break;
    }
    tell(w);
}

static void source_takes(World *w)
{
    unsigned phase = w->up[0];

    memmove(w->up, w->up + 1, --w->num_up * sizeof(int));
    happens(w, RIOD_MOVE_SAYS_NONE + phase);
}

static void cut(World *w)
{
    if (w->connected) {
        w->connected = false;
        w->num_down = w->num_up = 0;
        happens(w, RIOD_MOVE_LOST);
    }
}

static void join_again(World *w)
{
    if (!w->connected) {
        w->connected = true;
        happens(w, RIOD_MOVE_BACK);
    }
}

/* A process that dies with a module that acts takes it along, as ever */
static void target_dies(World *w)
{
    cut(w);
    w->target_dead |= w->target_acts;
    w->target_acts = false;
    w->phase = RIO_MOVE_NONE;
}

static void source_dies(World *w)
{
    cut(w);
    w->source_dead = true;
}

static void step(World *w, GRand *r, bool troubles)
{
    switch (g_rand_int_range(r, 0, troubles ? 16 : 8)) {
    case 0 ... 3:
        if (w->num_down) {
            target_takes(w, troubles && !g_rand_int_range(r, 0, 16));
        }
        break;
    case 4 ... 6:
        if (w->num_up) {
            source_takes(w);
        }
        break;
    case 7:
        if (w->stop_asked) {
            bool ok = !troubles || g_rand_int_range(r, 0, 8);

            w->stop_asked = false;
            w->stopped = ok;
            happens(w, ok ? RIOD_MOVE_STOPPED : RIOD_MOVE_NOT_STOPPED);
        }
        break;
    case 8 ... 9:
        cut(w);
        break;
    case 10 ... 12:
        join_again(w);
        break;
    case 13:
        happens(w, RIOD_MOVE_GIVE_UP);
        break;
    case 14:
        target_event(w, RIOD_TARGET_TIMEOUT, false);
        break;
    case 15:
        if (!g_rand_int_range(r, 0, 4)) {
            if (g_rand_boolean(r)) {
                target_dies(w);
            } else {
                source_dies(w);
            }
        }
        break;
    }
    /* The promise */
    g_assert_false(source_acts(w) && w->target_acts);
}

static void test_never_both_and_one_at_last(void)
{
    unsigned here = 0, there = 0;
    GRand *r = g_rand_new_with_seed(g_test_rand_int());

    for (unsigned run = 0; run < 200000; run++) {
        World w = { .connected = true };

        request(&w, OFFER);
        for (int i = 0; i < 40; i++) {
            step(&w, r, run & 1);
        }
        /* From here on nothing fails: it must come to an end */
        join_again(&w);
        for (int i = 0; i < 400; i++) {
            step(&w, r, false);
        }
        if (w.source_dead) {
            continue;           /* what is with the target, is decided */
        }
        if (w.target_dead) {
            /* It acted, and died: the source must not have gone on before */
            continue;
        }
        g_assert(source_acts(&w) != w.target_acts);
        g_assert(w.source == (w.target_acts ? RIOD_MOVE_DONE
                                            : RIOD_MOVE_FAILED));
        here += source_acts(&w);
        there += w.target_acts;
    }
    g_assert_cmpuint(here, >, 1000);
    g_assert_cmpuint(there, >, 100000);
    g_rand_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define T(name, func) g_test_add_func("/remote-io/move/" name, func)
    T("a-move-without-trouble", test_a_move_without_trouble);
    T("any-trouble-before-commit-leaves-it-here",
      test_any_trouble_before_commit_leaves_it_here);
    T("what-cannot-stop-goes-on", test_what_cannot_stop_goes_on);
    T("commit-is-ended-by-the-target-alone",
      test_commit_is_ended_by_the_target_alone);
    T("final-states-stay", test_final_states_stay);
    T("target-acts-only-when-loaded-and-told",
      test_target_acts_only_when_loaded_and_told);
    T("never-both-and-one-at-last", test_never_both_and_one_at_last);
    return g_test_run();
}
