// Depth, sigma and colour of all cameras -> point records in the base frame, dense and in the order of the pixels.
//
// Points are numbered along the rows of one camera after the other, every `stride`-th pixel. Blocks of TILE threads
// look at TILE points each: count_points counts the points that stay, scan_tiles turns the counts into places,
// write_points writes the records. With voxels claim_voxels comes first. The structs are those of packing.py.

enum { TILE = 256, WARP = 32, MOST_FIELDS = 5, CELL_BITS = 21 };

struct View {
    float rays[9];    // the point (column, row) of depth d lies at origin + d * rays @ (column, row, 1)
    float origin[3];  // metres
};

struct Cloud {
    const float *depth;        // (cameras, height, width) metres
    const float *sigma;        // likewise
    const unsigned char *rgb;  // (cameras, height, width, 3); null for records without colour
    const View *views;         // one per camera
    unsigned *tiles;           // number of kept points of each tile, then of all points before it; last, of all tiles
    unsigned *records;         // x y z [0x00RRGGBB] sigma of each kept point, float32 bits
    unsigned long long *voxels; // a hash table of their numbers, EMPTY where free; null where all points stay
    unsigned *first;           // the first point in the voxel of that slot
    unsigned *slots;           // the slot of each point
    unsigned mask;             // slots in the table - 1; their number is a power of two
    int cameras, width, height, stride;
    float min_range, max_range, max_relative_sigma;
    float voxels_per_metre;
};

struct Point {
    int camera, column, row;
    long long pixel;  // in depth and sigma
};

__device__ int point_count(const Cloud &cloud) {
    int columns = (cloud.width + cloud.stride - 1) / cloud.stride;
    int rows = (cloud.height + cloud.stride - 1) / cloud.stride;
    return cloud.cameras * rows * columns;
}

__device__ Point point_at(const Cloud &cloud, int index) {
    int columns = (cloud.width + cloud.stride - 1) / cloud.stride;
    int rows = (cloud.height + cloud.stride - 1) / cloud.stride;
    Point point;
    point.camera = index / (rows * columns);
    point.row = index / columns % rows;
    point.column = index % columns;
    long long line = (long long)point.camera * cloud.height + point.row * cloud.stride;
    point.pixel = line * cloud.width + point.column * cloud.stride;
    return point;
}

// All comparisons fail for NaN.
__device__ bool passes(const Cloud &cloud, const Point &point) {
    float depth = cloud.depth[point.pixel], sigma = cloud.sigma[point.pixel];
    return depth >= cloud.min_range && depth <= cloud.max_range && sigma >= 0.0f &&
           sigma <= cloud.max_relative_sigma * depth;
}

__device__ float coordinate(const Cloud &cloud, const Point &point, int axis) {
    const View &view = cloud.views[point.camera];
    const float *ray = view.rays + 3 * axis;
    float along = ray[0] * point.column + (ray[1] * point.row + ray[2]);
    return along * cloud.depth[point.pixel] + view.origin[axis];
}

const unsigned long long EMPTY = ~0ull;

// packing.py refuses voxels so small that a cell would not fit.
__device__ unsigned long long voxel_of(const Cloud &cloud, const Point &point) {
    unsigned long long voxel = 0;
    for (int axis = 0; axis < 3; ++axis) {
        int cell = (int)floorf(coordinate(cloud, point, axis) * cloud.voxels_per_metre);
        voxel = voxel << CELL_BITS | (unsigned)(cell + (1 << (CELL_BITS - 1)));
    }
    return voxel;
}

// Remember the first point of each voxel, in whatever order the threads run.
extern "C" __global__ void claim_voxels(Cloud cloud) {
    int index = blockIdx.x * TILE + threadIdx.x;
    if (index >= point_count(cloud)) return;
    Point point = point_at(cloud, index);
    if (!passes(cloud, point)) return;
    unsigned long long voxel = voxel_of(cloud, point);
    // Fibonacci hashing, then the next slot that is free or the voxel's own. There are twice as many slots as points.
    unsigned slot = (unsigned)(voxel * 0x9E3779B97F4A7C15ull >> 32) & cloud.mask;
    while (true) {
        unsigned long long found = atomicCAS(&cloud.voxels[slot], EMPTY, voxel);
        if (found == EMPTY || found == voxel) break;
        slot = (slot + 1) & cloud.mask;
    }
    atomicMin(&cloud.first[slot], (unsigned)index);
    cloud.slots[index] = slot;
}

__device__ bool stays(const Cloud &cloud, int index) {
    if (index >= point_count(cloud) || !passes(cloud, point_at(cloud, index))) return false;
    return !cloud.voxels || cloud.first[cloud.slots[index]] == (unsigned)index;
}

extern "C" __global__ void count_points(Cloud cloud) {
    int count = __syncthreads_count(stays(cloud, blockIdx.x * TILE + threadIdx.x));
    if (threadIdx.x == 0) cloud.tiles[blockIdx.x] = count;
}

// One block: each thread adds up a run of tiles, then the runs are added up in log2(blockDim) steps.
extern "C" __global__ void scan_tiles(Cloud cloud) {
    __shared__ unsigned sums[1024];
    int tiles = (point_count(cloud) + TILE - 1) / TILE;
    int run = (tiles + blockDim.x - 1) / blockDim.x;
    int begin = min((int)threadIdx.x * run, tiles), end = min(begin + run, tiles);
    unsigned sum = 0;
    for (int tile = begin; tile < end; ++tile) sum += cloud.tiles[tile];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int reach = 1; reach < blockDim.x; reach *= 2) {
        unsigned earlier = threadIdx.x >= reach ? sums[threadIdx.x - reach] : 0;
        __syncthreads();
        sums[threadIdx.x] += earlier;
        __syncthreads();
    }
    unsigned before = sums[threadIdx.x] - sum;
    for (int tile = begin; tile < end; ++tile) {
        unsigned count = cloud.tiles[tile];
        cloud.tiles[tile] = before;
        before += count;
    }
    if (threadIdx.x == blockDim.x - 1) cloud.tiles[tiles] = before;
}

// The number of kept points of this tile before this thread's; total: of the whole tile.
__device__ int place_in_tile(bool kept, int &total) {
    __shared__ int warps[TILE / WARP];
    int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    unsigned votes = __ballot_sync(0xffffffffu, kept);
    if (lane == 0) warps[warp] = __popc(votes);
    __syncthreads();
    int before = __popc(votes & ((1u << lane) - 1));
    total = 0;
    for (int i = 0; i < TILE / WARP; ++i) {
        if (i < warp) before += warps[i];
        total += warps[i];
    }
    return before;
}

__device__ void write_record(const Cloud &cloud, int index, unsigned *record) {
    Point point = point_at(cloud, index);
    for (int axis = 0; axis < 3; ++axis) record[axis] = __float_as_uint(coordinate(cloud, point, axis));
    if (cloud.rgb) {
        const unsigned char *rgb = cloud.rgb + 3 * point.pixel;
        record[3] = rgb[0] << 16 | rgb[1] << 8 | rgb[2];
    }
    record[cloud.rgb ? 4 : 3] = __float_as_uint(cloud.sigma[point.pixel]);
}

extern "C" __global__ void write_points(Cloud cloud) {
    // Records go through shared memory: from there the block writes consecutive words.
    __shared__ unsigned records[TILE * MOST_FIELDS];
    int fields = cloud.rgb ? 5 : 4;
    int index = blockIdx.x * TILE + threadIdx.x;
    bool kept = stays(cloud, index);
    int total;
    int place = place_in_tile(kept, total);
    if (kept) write_record(cloud, index, records + place * fields);
    __syncthreads();
    unsigned *out = cloud.records + (long long)cloud.tiles[blockIdx.x] * fields;
    for (int word = threadIdx.x; word < total * fields; word += TILE) out[word] = records[word];
}
