// Just enough of CUDA to run our kernels on the CPU: the threads of a block are fibers, run one at a time in an order
// that the seed decides, from one barrier to the next; blocks follow one another, in an order of the seed as well. An
// order that a kernel silently counts on will not be the one it gets.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __shared__ static

using std::max;
using std::min;

struct float2 {
    float x, y;
};
struct float3 {
    float x, y, z;
};
struct Index {
    unsigned x, y, z;
};
static Index threadIdx, blockIdx, blockDim;

namespace host {

enum State { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, ENDED };
enum { WARP_SIZE = 32, STACK_BYTES = 64 * 1024 };

struct Fiber {
    ucontext_t context;
    Index index;
    State state;
    bool vote;
    unsigned answer;
    std::vector<char> stack = std::vector<char>(STACK_BYTES);
};

static std::vector<Fiber> fibers;
static Fiber *running;
static ucontext_t scheduler;
static void (*entry)();

static void run_fiber() {
    entry();
    running->state = ENDED;
    swapcontext(&running->context, &scheduler);
}

// Wait for the block or the warp; the answer is the number of votes or their mask.
static unsigned meet(State where, bool vote) {
    running->state = where;
    running->vote = vote;
    swapcontext(&running->context, &scheduler);
    return running->answer;
}

// Let the fibers from begin to end go on if all of them have come to this barrier.
static bool release(size_t begin, size_t end, State where) {
    unsigned answer = 0;
    for (size_t i = begin; i < end; ++i) {
        if (fibers[i].state != where) return false;
        answer += where == AT_WARP_BARRIER ? unsigned(fibers[i].vote) << (i - begin) : fibers[i].vote;
    }
    for (size_t i = begin; i < end; ++i) fibers[i].state = READY, fibers[i].answer = answer;
    return true;
}

static bool release_any(size_t count) {
    bool any = release(0, count, AT_BLOCK_BARRIER);
    for (size_t i = 0; i < count; i += WARP_SIZE) any |= release(i, min(i + WARP_SIZE, count), AT_WARP_BARRIER);
    return any;
}

// False when threads wait at a barrier that others never reach.
static bool run_block(std::mt19937 &random) {
    size_t count = blockDim.x * blockDim.y * blockDim.z;
    if (fibers.size() < count) fibers = std::vector<Fiber>(count);
    for (size_t i = 0; i < count; ++i) {
        Fiber &fiber = fibers[i];
        unsigned n = unsigned(i);
        fiber.index = {n % blockDim.x, n / blockDim.x % blockDim.y, n / blockDim.x / blockDim.y};
        fiber.state = READY;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        makecontext(&fiber.context, run_fiber, 0);
    }
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    do {
        std::shuffle(order.begin(), order.end(), random);
        for (size_t i : order) {
            if (fibers[i].state != READY) continue;
            running = &fibers[i];
            threadIdx = running->index;
            swapcontext(&scheduler, &running->context);
        }
    } while (release_any(count));
    return std::all_of(fibers.begin(), fibers.begin() + count, [](const Fiber &f) { return f.state == ENDED; });
}

template <class Parameters>
static void (*kernel)(Parameters);
template <class Parameters>
static Parameters parameters;

template <class Parameters>
bool run(void (*function)(Parameters), const unsigned *shape, const void *bytes, unsigned seed) {
    std::mt19937 random(seed);
    kernel<Parameters> = function;
    std::memcpy(&parameters<Parameters>, bytes, sizeof(Parameters));
    entry = [] { kernel<Parameters>(parameters<Parameters>); };
    blockDim = {shape[3], shape[4], shape[5]};
    std::vector<unsigned> blocks(size_t(shape[0]) * shape[1] * shape[2]);
    std::iota(blocks.begin(), blocks.end(), 0);
    std::shuffle(blocks.begin(), blocks.end(), random);
    for (unsigned block : blocks) {
        blockIdx = {block % shape[0], block / shape[0] % shape[1], block / shape[0] / shape[1]};
        if (!run_block(random)) return false;
    }
    return true;
}

}  // namespace host

static void __syncthreads() { host::meet(host::AT_BLOCK_BARRIER, false); }
static int __syncthreads_count(bool vote) { return int(host::meet(host::AT_BLOCK_BARRIER, vote)); }
static unsigned __ballot_sync(unsigned, bool vote) { return host::meet(host::AT_WARP_BARRIER, vote); }
static int __popc(unsigned bits) { return __builtin_popcount(bits); }

static unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

template <class T>
static T atomicCAS(T *address, T expected, T desired) {
    T old = *address;
    if (old == expected) *address = desired;
    return old;
}

template <class T>
static T atomicMin(T *address, T value) {
    T old = *address;
    *address = min(old, value);
    return old;
}
