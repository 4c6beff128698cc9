/* bfloat16 in memory, float32 in registers; and what training and decoding do to a row, alike. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Compilers take no maximum in vectors unasked: of NaN it would be another. For the loop that follows. */
#define PRAGMA(text) _Pragma(#text)
#define MAXIMUM(of) PRAGMA(omp simd reduction(max : of))
#define MINIMUM(of) PRAGMA(omp simd reduction(min : of))

typedef uint16_t bf16;
typedef int64_t i64;

#define GROUP 32 /* inputs of a weight that share a step, and */
#define BLOCK 16 /* outputs at a time, a lane each: as in levels.py */

static inline float wide(bf16 x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline bf16 narrow(float f) /* to the nearest, ties to even */
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    bits = (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : bits + 0x7fff + ((bits >> 16) & 1);
    return (bf16)(bits >> 16);
}

static inline float rounded(float f) { return wide(narrow(f)); }

/* e^x to float32's precision, as in Cephes' expf; written out so that compilers make vectors of it. */
static inline float expo(float x)
{
    x = x < -87.f ? -87.f : x > 88.f ? 88.f : x;
    float n = nearbyintf(x * 1.44269504f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return p * power;
}

/* RMSNorm of x [n]; gives 1 / root mean square. */
static inline float norm_row(const bf16 *restrict x, const bf16 *restrict weight, bf16 *restrict y, i64 n, float eps)
{
    float sum = 0;
    for (i64 j = 0; j < n; j++) sum += wide(x[j]) * wide(x[j]);
    float inverse = 1.f / sqrtf(sum / n + eps);
    for (i64 j = 0; j < n; j++) y[j] = narrow(rounded(wide(x[j]) * inverse) * wide(weight[j]));
    return inverse;
}

/* A head x [2 half] with its rotary position, taken off again where direction is -1. cosine, sine [2 half], the first
 * half of the sines not read. y may be x. */
static inline void turn_head(const bf16 *x, const bf16 *restrict cosine, const bf16 *restrict sine, bf16 *y, i64 half,
                             float direction)
{
#pragma omp simd
    for (i64 j = 0; j < half; j++) {
        float p = wide(x[j]), q = wide(x[j + half]), c = wide(cosine[j]), s = direction * wide(sine[j + half]);
        y[j] = narrow(p * c - q * s);
        y[j + half] = narrow(q * c + p * s);
    }
}

static inline bf16 swiglu_one(float gate, float up) { return narrow(rounded(gate / (1.f + expo(-gate))) * up); }
