// Views of images that lie on the device as bytes, cut into patches.
//
// A view has the bits of the host's: every operation is one that rounds once, which the compiler may not
// join with its neighbour, and positions are doubles.
#include "common.cuh"

#define FLIP_BEFORE 1u
#define FLIP_AFTER 2u

// How an image becomes a view: a crop, and what happens before and after. 4 floats per channel follow: mean
// and scale of every channel before, mean and scale of every channel after.
struct ImageView {
    unsigned image, flips, top, left, height, width;
};

// Where an output pixel lies between two input pixels; the share of the second.
struct Tap {
    int first, second;
    float share;
};

// Output pixel i of `to`, resized from `from` pixels that begin at `start`.
__device__ Tap tap(unsigned start, unsigned from, int i, int to) {
    double last = from - 1, at = __dsub_rn(__ddiv_rn(__dmul_rn(__dadd_rn(i, 0.5), from), to), 0.5);
    at = at < 0.0 ? 0.0 : at > last ? last : at;
    unsigned first = (unsigned)at, second = first + 1 < from ? first + 1 : from - 1;
    Tap t;
    t.first = (int)(start + first);
    t.second = (int)(start + second);
    t.share = (float)__dsub_rn(at, first);
    return t;
}

__device__ float mix(float a, float b, float share) { return __fadd_rn(a, __fmul_rn(share, __fsub_rn(b, a))); }

// A channel of an image, as it is before the crop.
struct Plane {
    const unsigned char *bytes;
    int width;
    bool flip;
    float mean, scale;
};

__device__ float pixel(const Plane *p, int row, int column) {
    int at = row * p->width + (p->flip ? p->width - 1 - column : column);
    return __fmul_rn(__fsub_rn(__fdiv_rn((float)p->bytes[at], 255.f), p->mean), p->scale);
}

__device__ float resized(const Plane *p, const ImageView *view, int row, int column, int height) {
    Tap r = tap(view->top, view->height, row, height), c = tap(view->left, view->width, column, p->width);
    float left = mix(pixel(p, r.first, c.first), pixel(p, r.second, c.first), r.share);
    float right = mix(pixel(p, r.first, c.second), pixel(p, r.second, c.second), r.share);
    return mix(left, right, c.share);
}

// out (view, patch, channel, row, column): patches of side `patch` of views of bytes (image, channel, row,
// column), in raster order; one thread per value. `views` holds an ImageView and 4 * channels floats for each.
extern "C" __global__ void cut_views(const unsigned char *bytes, const unsigned *views, float *out, long long count,
                                     int channels, int height, int width, int patch) {
    long long at = element();
    if (at >= count) return;
    int across = width / patch, area = patch * patch, size = channels * height * width;
    int which = (int)(at / size), in_view = (int)(at % size), in_patch = in_view % (channels * area);
    int place = in_view / (channels * area), channel = in_patch / area;
    int row = place / across * patch + in_patch % area / patch, column = place % across * patch + in_patch % patch;
    const unsigned *words = views + (long long)which * (sizeof(ImageView) / 4 + 4 * channels);
    const ImageView *view = (const ImageView *)words;
    const float *maps = (const float *)(words + sizeof(ImageView) / 4) + channel;
    Plane plane;
    plane.bytes = bytes + (long long)view->image * size + (long long)channel * height * width;
    plane.width = width;
    plane.flip = view->flips & FLIP_BEFORE;
    plane.mean = maps[0];
    plane.scale = maps[channels];
    if (view->flips & FLIP_AFTER) column = width - 1 - column;
    bool whole = view->height == (unsigned)height && view->width == (unsigned)width;
    float v = whole ? pixel(&plane, row, column) : resized(&plane, view, row, column, height);
    out[at] = __fmul_rn(__fsub_rn(v, maps[2 * channels]), maps[3 * channels]);
}
