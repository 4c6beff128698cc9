/* Which weights have four or eight bits, and these bits: see levels.py. */
#include <immintrin.h>

#include "common.h"

#define EXACT 0x1p-7f /* twice bfloat16's rounding, of the largest of four bits' group, of each weight of eight */

static inline float half(float x, uint16_t *bits) /* to float16 and back */
{
    *bits = _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
    return _cvtsh_ss(*bits);
}

/* Levels 0 … 15 of a group that lies on even steps, its step and its value at level 0; or 0 where it does not. What
 * lies on steps was rounded, the ends as well: the line that fits all best is nearer than one through the ends. */
static int four(const float *w, uint8_t *level, uint16_t *step_bits, uint16_t *least_bits)
{
    float least = w[0], most = w[0], levels = 0, weights = 0, both = 0, squares = 0, largest, worst = 0;
    MINIMUM(least) for (int j = 0; j < GROUP; j++) least = w[j] < least ? w[j] : least;
    MAXIMUM(most) for (int j = 0; j < GROUP; j++) most = w[j] > most ? w[j] : most;
    largest = -least > most ? -least : most;
    float steps = most > least ? 15 / (most - least) : 0;
    for (int j = 0; j < GROUP; j++) {
        float l = nearbyintf((w[j] - least) * steps);
        level[j] = (uint8_t)l;
        levels += l;
        weights += w[j];
        both += l * w[j];
        squares += l * l;
    }
    float spread = squares - levels * levels / GROUP;
    float step = half(spread > 0 ? (both - levels * weights / GROUP) / spread : 0, step_bits);
    float first = half(weights / GROUP - levels / GROUP * step, least_bits);
    MAXIMUM(worst) for (int j = 0; j < GROUP; j++) {
        float off = fabsf(first + (float)level[j] * step - w[j]);
        worst = off > worst ? off : worst;
    }
    return worst <= EXACT * largest;
}

/* The same for -127 … 127 steps, with 128 for zero. */
static int eight(const float *w, uint8_t *level, uint16_t *step_bits)
{
    float largest = 0, both = 0, squares = 0;
    MAXIMUM(largest) for (int j = 0; j < GROUP; j++) largest = fabsf(w[j]) > largest ? fabsf(w[j]) : largest;
    float steps = largest > 0 ? 127 / largest : 0;
    for (int j = 0; j < GROUP; j++) {
        float l = nearbyintf(w[j] * steps);
        both += l * w[j];
        squares += l * l;
    }
    float step = half(squares > 0 ? both / squares : 0, step_bits);
    int fits = 1;
    steps = step > 0 ? 1 / step : 0;
    for (int j = 0; j < GROUP; j++) {
        float l = nearbyintf(w[j] * steps);
        fits &= fabsf(l) <= 127 && fabsf(l * step - w[j]) <= EXACT * fabsf(w[j]);
        level[j] = (uint8_t)(l + 128);
    }
    return fits;
}

/* Fills levels and scales for `bits` of weight [outputs, inputs]; gives 0 where it has more. levels is zero before. */
int fill_levels(const bf16 *weight, uint8_t *levels, uint16_t *scales, i64 outputs, i64 inputs, i64 bits)
{
    const i64 groups = inputs / GROUP, kinds = bits == 4 ? 2 : 1, size = BLOCK * GROUP * bits / 8;
    int fits = 1;
#pragma omp parallel for schedule(static)
    for (i64 o = 0; o < outputs; o++) {
        int still;
#pragma omp atomic read
        still = fits;
        for (i64 g = 0; g < groups && still; g++) {
            float w[GROUP];
            uint8_t level[GROUP];
            i64 at = o / BLOCK * groups + g, lane = o % BLOCK;
            uint16_t *scale = scales + at * kinds * BLOCK + lane;
            for (i64 j = 0; j < GROUP; j++) w[j] = wide(weight[o * inputs + g * GROUP + j]);
            still = bits == 4 ? four(w, level, scale, scale + BLOCK) : eight(w, level, scale);
            for (i64 j = 0; j < GROUP; j++) {
                if (bits == 4) levels[at * size + (j / 4 * BLOCK + lane) * 2 + j % 2] |= (uint8_t)(level[j] << j / 2 % 2 * 4);
                else levels[at * size + (j / 2 * BLOCK + lane) * 2 + j % 2] = level[j];
            }
        }
        if (!still) {
#pragma omp atomic write
            fits = 0;
        }
    }
    return fits;
}
