/* bfloat16 in memory, float32 in registers. */
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;
typedef int64_t i64;

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
