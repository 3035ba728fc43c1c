// Carries out the CUDA kernels on the processor, so that their numbers can be judged without a GPU.
//
// The sources are compiled as C++: a thread of a block is a fiber, a block's fibers run in turn, and a
// barrier or a shuffle hands over to the next one. A block whose threads wait for different barriers is
// an error, as it is on a GPU. Nothing is learnt about speed or PTX.
#include <csetjmp>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(threads)
#define __align__(bytes) alignas(bytes)

struct float4 {
    float x, y, z, w;
};
struct float2 {
    float x, y;
};
struct uint2 {
    unsigned x, y;
};

struct Dim {
    unsigned x, y, z;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum State { READY, AT_BARRIER, AT_SHUFFLE, DONE };
const int MOST = 1024, LANES = 32, STACK = 128 << 10;

struct Fiber {
    ucontext_t context;
    jmp_buf resume;
    std::unique_ptr<char[]> stack;
    State state = DONE;
    bool entered = false;
    unsigned shuffles = 0;
};

Fiber fibers[MOST];
jmp_buf scheduler;
int current;
bool backwards;
float exchanged[2][MOST];
// Of products: f32 or pairs of bfloat16 numbers.
unsigned left_operands[2][MOST][4], right_operands[2][MOST][2];
void (*body)(void *);
void *body_data;

// Back to the scheduler, until it resumes this fiber.
void wait(State state) {
    Fiber &f = fibers[current];
    f.state = state;
    if (_setjmp(f.resume) == 0) _longjmp(scheduler, 1);
}

// A fiber runs one thread after another, as the scheduler asks.
void loop() {
    for (;;) {
        body(body_data);
        wait(DONE);
    }
}

void resume(int t) {
    Fiber &f = fibers[t];
    current = t;
    threadIdx = Dim{(unsigned)t, 0, 0};
    if (_setjmp(scheduler) != 0) return;
    if (f.entered) _longjmp(f.resume, 1);
    f.entered = true;
    f.stack.reset(new char[STACK]);
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.get();
    f.context.uc_stack.ss_size = STACK;
    f.context.uc_link = nullptr;
    makecontext(&f.context, loop, 0);
    setcontext(&f.context);
}

// Whether all threads of [from, to) that still run wait in `state`; then they may go on.
bool release(int from, int to, State state) {
    bool any = false;
    for (int t = from; t < to; t++) {
        if (fibers[t].state == DONE) continue;
        if (fibers[t].state != state) return false;
        any = true;
    }
    for (int t = from; any && t < to; t++)
        if (fibers[t].state == state) fibers[t].state = READY;
    return any;
}

// Runs a block; false if its threads wait for each other for ever.
bool run_block(int threads) {
    for (int t = 0; t < threads; t++) fibers[t].state = READY;
    for (;;) {
        bool moved = false, done = true;
        for (int i = 0; i < threads; i++) {
            int t = backwards ? threads - 1 - i : i;
            if (fibers[t].state == READY) resume(t), moved = true;
            done = done && fibers[t].state == DONE;
        }
        if (done) return true;
        for (int from = 0; from < threads; from += LANES)
            moved |= release(from, from + LANES < threads ? from + LANES : threads, AT_SHUFFLE);
        moved |= release(0, threads, AT_BARRIER);
        if (!moved) return false;
    }
}

const int LAUNCH_FAILED = 719, NOT_FOUND = 500;

template <class... A, size_t... I>
int run_grid(void (*kernel)(A...), void **params, std::index_sequence<I...>) {
    std::tuple<A...> args{*(A *)params[I]...};
    auto call = [&] { std::apply(kernel, args); };
    body = [](void *data) { (*(decltype(call) *)data)(); };
    body_data = &call;
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++)
            if (!run_block((int)blockDim.x)) return LAUNCH_FAILED;
    return 0;
}

template <class... A>
int run(void (*kernel)(A...), void **params) {
    return run_grid(kernel, params, std::index_sequence_for<A...>{});
}

}  // namespace

static void __syncthreads() { wait(AT_BARRIER); }

static float __shfl_xor_sync(unsigned, float v, int other) {
    int mine = current;
    unsigned turn = fibers[mine].shuffles++ % 2;
    exchanged[turn][mine] = v;
    wait(AT_SHUFFLE);
    return exchanged[turn][mine ^ other];
}

// All lanes of a warp have come here.
static void __syncwarp() { wait(AT_SHUFFLE); }

static unsigned __float_as_uint(float v) {
    unsigned bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static float __uint_as_float(unsigned bits) {
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static float __fdividef(float a, float b) { return a / b; }

// Bits of the nearest bfloat16 number, in the high half; numbers alone.
static unsigned bfloat16(float v) {
    unsigned bits = __float_as_uint(v);
    return (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
}

static unsigned pair(float low, float high) { return bfloat16(low) >> 16 | bfloat16(high); }

// A product of a warp: who holds which element is that of the PTX ISA. `left(registers, k)` and `right(registers, k)`
// read one of a lane's elements along the inner dimension of `inner`, of which each lane holds `run` in a row.
template <class A, class B, class Left, class Right>
static void product(float (&c)[4], const A &a, const B &b, int inner, int run, Left left, Right right) {
    int mine = current, warp = mine / LANES * LANES, g = mine % LANES / 4, t = mine % 4;
    unsigned turn = fibers[mine].shuffles++ % 2;
    memcpy(left_operands[turn][mine], a, sizeof a);
    memcpy(right_operands[turn][mine], b, sizeof b);
    wait(AT_SHUFFLE);
    for (int i = 0; i < 4; i++) {
        int row = g + i / 2 * 8, column = 2 * t + i % 2;
        for (int k = 0; k < inner; k++) {
            int lane = k % (4 * run) / run, half = k / (4 * run);
            c[i] += left(left_operands[turn][warp + row % 8 * 4 + lane][row / 8 + half * 2], k) *
                    right(right_operands[turn][warp + column * 4 + lane][half], k);
        }
    }
}

// As in `mma.cuh`: the last 13 bits of an f32 are dropped.
static void mma(float (&c)[4], const float (&a)[4], const float (&b)[2]) {
    auto number = [](unsigned bits, int) { return __uint_as_float(bits & ~0x1fffu); };
    product(c, a, b, 8, 1, number, number);
}

static void mma(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    auto number = [](unsigned pair, int k) { return __uint_as_float(k % 2 ? pair & 0xffff0000 : pair << 16); };
    product(c, a, b, 16, 2, number, number);
}

// Operations that round once each; the compiler is told not to join them either (see `build`).
static float __fadd_rn(float a, float b) { return a + b; }
static float __fsub_rn(float a, float b) { return a - b; }
static float __fmul_rn(float a, float b) { return a * b; }
static float __fdiv_rn(float a, float b) { return a / b; }
static double __dadd_rn(double a, double b) { return a + b; }
static double __dsub_rn(double a, double b) { return a - b; }
static double __dmul_rn(double a, double b) { return a * b; }
static double __ddiv_rn(double a, double b) { return a / b; }

#include "all.cu"

#define ROUNDED(NAME) KERNEL(NAME) KERNEL(NAME##_tf32) KERNEL(NAME##_bf16)
#define SIZES(NAME) ROUNDED(NAME##_16) ROUNDED(NAME##_32) ROUNDED(NAME##_64) ROUNDED(NAME##_96)
#define KERNEL(NAME) \
    if (!strcmp(name, #NAME)) return run(NAME, params);

// Whether the last thread of a block runs first. Where a barrier is missing, the order shows.
extern "C" void run_backwards(int on) { backwards = on; }

extern "C" int emulate(const char *name, const unsigned *grid, const unsigned *block, void **params) {
    static std::mutex one_at_a_time;
    std::lock_guard<std::mutex> guard(one_at_a_time);
    gridDim = Dim{grid[0], grid[1], grid[2]};
    blockDim = Dim{block[0], block[1], block[2]};
    for (Fiber &f : fibers) f.shuffles = 0;
    SIZES(attention_forward) SIZES(attention_queries) SIZES(attention_keys) KERNEL(attention_delta)
    KERNEL(gelu_forward) KERNEL(gelu_backward) KERNEL(residual_norm) KERNEL(norm_backward)
    KERNEL(row_sums) KERNEL(add_chunks) KERNEL(weighted_sum)
    KERNEL(gather_sum) KERNEL(sum_rows) KERNEL(loss_rows) KERNEL(loss_backward) KERNEL(scale)
    KERNEL(cut_views) KERNEL(mean_rows)
    KERNEL(square_sums) KERNEL(root_of_sum) KERNEL(clear) KERNEL(adamw) KERNEL(ema) KERNEL(collect)
    KERNEL(muon_momentum) KERNEL(muon_unit) KERNEL(muon_move)
    KERNEL(pick_rows) KERNEL(round_rows) KERNEL(round_values)
    KERNEL(spread_parts) KERNEL(spread)
    KERNEL(map_forward) KERNEL(map_backward) KERNEL(add_elements) KERNEL(multiply_elements) KERNEL(add_number)
    KERNEL(scale_matrix) KERNEL(rms_forward) KERNEL(rms_backward) KERNEL(move_columns)
    KERNEL(segment_means) KERNEL(segment_shares) KERNEL(column_parts) KERNEL(column_means) KERNEL(center)
    KERNEL(row_totals) KERNEL(rotate_pairs)
    return NOT_FOUND;
}
