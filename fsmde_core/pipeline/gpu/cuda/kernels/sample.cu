// Raw camera images of any encoding and row length -> the network's input, one launch for all cameras.
//
// A thread makes one pixel of the batch: grid (ceil(width / 32), ceil(height / 8), cameras), blocks (32, 8). The
// structs are those of sampling.py in the folder above. Colour arithmetic is OpenCV's to the bit; see encodings.py and
// rectify.py in fsmde_core/images for what it means.

enum Kind { INTERLEAVED, YUV422, BAYER, YUV420 };

struct Source {
    const unsigned char *image;    // rows of `step` bytes; YUV420: luma, then half as many rows of U and V in turn
    const float2 *maps;            // (supersample * height, supersample * width) places in the image after its halvings
    const unsigned char *outside;  // (height, width) 1 where a pixel lies in no image; null where there is none
    long long step;
    int width, height;  // of the image
    int kind;
    int channels;  // INTERLEAVED: bytes per pixel
    int first;     // INTERLEAVED: byte of red. YUV422: byte of luma. BAYER: column parity of red. YUV420: byte of U
    int second;    // INTERLEAVED: byte of blue. BAYER: row parity of red
    int halvings;
    int supersample;
};

struct Batch {
    const Source *sources;
    unsigned char *rgb;  // (cameras, height, width, 3)
    float *depth;        // (cameras, height, width)
    int width, height;
};

struct Color {
    int red, green, blue;
};

__device__ int clamped(int value, int low, int high) { return min(max(value, low), high); }

__device__ int byte_from_fixed(int value) { return clamped(value >> 20, 0, 255); }

__device__ Color interleaved(const Source &source, int x, int y) {
    const unsigned char *pixel = source.image + y * source.step + x * source.channels;
    return {pixel[source.first], pixel[source.channels > 2], pixel[source.second]};
}

// BT.601, studio range, in fixed point of 20 bits.
__device__ Color from_yuv(int luma, int u, int v) {
    const int half = 1 << 19;
    luma = max(luma - 16, 0) * 1220542;
    u -= 128;
    v -= 128;
    return {byte_from_fixed(luma + 1673527 * v + half), byte_from_fixed(luma - 852492 * v - 409993 * u + half),
            byte_from_fixed(luma + 2116026 * u + half)};
}

// Two pixels share U and V: bytes Y U Y V, or U Y V Y.
__device__ Color yuv422(const Source &source, int x, int y) {
    const unsigned char *pair = source.image + y * source.step + (x / 2) * 4;
    return from_yuv(pair[source.first + 2 * (x % 2)], pair[1 - source.first], pair[3 - source.first]);
}

// Four pixels share U and V.
__device__ Color yuv420(const Source &source, int x, int y) {
    const unsigned char *pair = source.image + (source.height + y / 2) * source.step + (x / 2) * 2;
    return from_yuv(source.image[y * source.step + x], pair[source.first], pair[1 - source.first]);
}

// Bilinear: a missing colour is the mean of its nearest neighbours. The outermost pixels repeat their inner neighbours.
__device__ Color bayer(const Source &source, int x, int y) {
    x = clamped(x, 1, source.width - 2);
    y = clamped(y, 1, source.height - 2);
    const unsigned char *above = source.image + (y - 1) * source.step + x;
    const unsigned char *middle = above + source.step;
    const unsigned char *below = middle + source.step;
    bool red_column = x % 2 == source.first;
    bool red_row = y % 2 == source.second;
    int here = middle[0];
    if (red_column == red_row) {
        int cross = (above[0] + middle[-1] + middle[1] + below[0] + 2) >> 2;
        int corners = (above[-1] + above[1] + below[-1] + below[1] + 2) >> 2;
        return red_row ? Color{here, cross, corners} : Color{corners, cross, here};
    }
    int beside = (middle[-1] + middle[1] + 1) >> 1;
    int upright = (above[0] + below[0] + 1) >> 1;
    return red_row ? Color{beside, here, upright} : Color{upright, here, beside};
}

__device__ Color raw_pixel(const Source &source, int x, int y) {
    switch (source.kind) {
        case YUV422: return yuv422(source, x, y);
        case BAYER: return bayer(source, x, y);
        case YUV420: return yuv420(source, x, y);
        default: return interleaved(source, x, y);
    }
}

// A pixel after `LEVEL` 2x2 averages, each of them rounded to a byte.
template <int LEVEL>
__device__ Color averaged(const Source &source, int x, int y) {
    int red = 2, green = 2, blue = 2;
#pragma unroll 1
    for (int i = 0; i < 4; ++i) {
        Color color = averaged<LEVEL - 1>(source, 2 * x + i % 2, 2 * y + i / 2);
        red += color.red;
        green += color.green;
        blue += color.blue;
    }
    return {red >> 2, green >> 2, blue >> 2};
}

template <>
__device__ Color averaged<0>(const Source &source, int x, int y) {
    return raw_pixel(source, x, y);
}

// As many cases as MOST_HALVINGS in uploads.py.
__device__ Color pixel_at(const Source &source, int x, int y) {
    switch (source.halvings) {
        case 0: return averaged<0>(source, x, y);
        case 1: return averaged<1>(source, x, y);
        case 2: return averaged<2>(source, x, y);
        case 3: return averaged<3>(source, x, y);
        default: return averaged<4>(source, x, y);
    }
}

// Bilinear at a place in pixels; beyond the edge the nearest pixel counts.
__device__ float3 sampled(const Source &source, float2 place) {
    int last_x = (source.width >> source.halvings) - 1;
    int last_y = (source.height >> source.halvings) - 1;
    float x = fminf(fmaxf(place.x, 0.0f), last_x);
    float y = fminf(fmaxf(place.y, 0.0f), last_y);
    int left = x, top = y;
    float to_right = x - left, to_bottom = y - top;
    float3 sum = {0.0f, 0.0f, 0.0f};
#pragma unroll 1
    for (int i = 0; i < 4; ++i) {
        float weight = (i % 2 ? to_right : 1.0f - to_right) * (i / 2 ? to_bottom : 1.0f - to_bottom);
        Color color = pixel_at(source, min(left + i % 2, last_x), min(top + i / 2, last_y));
        sum.x += weight * color.red;
        sum.y += weight * color.green;
        sum.z += weight * color.blue;
    }
    return sum;
}

extern "C" __global__ void sample(Batch batch) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= batch.width || y >= batch.height) return;
    const Source source = batch.sources[blockIdx.z];
    int side = source.supersample;
    float3 sum = {0.0f, 0.0f, 0.0f};
    for (int i = 0; i < side * side; ++i) {
        long long row = (long long)y * side + i / side;
        float3 color = sampled(source, source.maps[row * batch.width * side + x * side + i % side]);
        sum.x += color.x;
        sum.y += color.y;
        sum.z += color.z;
    }
    float weight = 1.0f / (side * side);
    unsigned char *pixel = batch.rgb + 3 * (((long long)blockIdx.z * batch.height + y) * batch.width + x);
    pixel[0] = (unsigned char)(sum.x * weight + 0.5f);
    pixel[1] = (unsigned char)(sum.y * weight + 0.5f);
    pixel[2] = (unsigned char)(sum.z * weight + 0.5f);
}

// NaN for the depth of pixels that lie in no image.
extern "C" __global__ void mask_outside(Batch batch) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= batch.width || y >= batch.height) return;
    const unsigned char *outside = batch.sources[blockIdx.z].outside;
    long long pixel = (long long)y * batch.width + x;
    if (outside && outside[pixel]) batch.depth[(long long)blockIdx.z * batch.height * batch.width + pixel] = nanf("");
}
