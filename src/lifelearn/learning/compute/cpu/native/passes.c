/* What a layer does besides its matrix products, on bfloat16 in memory and float32 in between, each in one pass.
 *
 * kernels.py compiles and calls this; its torch counterparts stand in layers.py, attention.py and divergence.py. Tensors
 * are dense, rows first. Loops over rows are spread over torch's own OpenMP threads.
 */
#include "common.h"

#define ROWS _Pragma("omp parallel for schedule(static)")
#define LEAST -1e4f /* nats; stands for minus infinity, as in divergence.py */

/* RMSNorm of x [n, m]; inverse [n]: 1 / root mean square. */
void norm(const bf16 *restrict x, const bf16 *restrict weight, bf16 *restrict y, float *restrict inverse, i64 n, i64 m,
          float eps)
{
    ROWS for (i64 i = 0; i < n; i++) inverse[i] = norm_row(x + i * m, weight, y + i * m, m, eps);
}

void norm_backward(const bf16 *restrict dy, const bf16 *restrict x, const bf16 *restrict weight,
                   const float *restrict inverse, bf16 *restrict dx, i64 n, i64 m)
{
    ROWS for (i64 i = 0; i < n; i++) {
        const bf16 *a = x + i * m, *d = dy + i * m;
        bf16 *b = dx + i * m;
        float along = 0, inv = inverse[i];
        for (i64 j = 0; j < m; j++) along += wide(d[j]) * wide(weight[j]) * wide(a[j]);
        along *= inv * inv / m;
        for (i64 j = 0; j < m; j++) b[j] = narrow((wide(d[j]) * wide(weight[j]) - wide(a[j]) * along) * inv);
    }
}

/* silu(gate) * up of x = [gate, up], [n, 2m]; y [n, m]. */
void swiglu(const bf16 *restrict x, bf16 *restrict y, i64 n, i64 m)
{
    ROWS for (i64 i = 0; i < n; i++) {
        const bf16 *gate = x + 2 * i * m, *up = gate + m;
        for (i64 j = 0; j < m; j++) y[i * m + j] = swiglu_one(wide(gate[j]), wide(up[j]));
    }
}

void swiglu_backward(const bf16 *restrict dy, const bf16 *restrict x, bf16 *restrict dx, i64 n, i64 m)
{
    ROWS for (i64 i = 0; i < n; i++) {
        const bf16 *gate = x + 2 * i * m, *up = gate + m, *d = dy + i * m;
        bf16 *d_gate = dx + 2 * i * m, *d_up = d_gate + m;
        for (i64 j = 0; j < m; j++) {
            float g = wide(gate[j]), s = 1.f / (1.f + expo(-g)), e = wide(d[j]);
            d_gate[j] = narrow(e * wide(up[j]) * s * (1.f + g * (1.f - s)));
            d_up[j] = narrow(e * g * s);
        }
    }
}

/* Rotary positions on the first `turned` of the heads of x [n, heads, 2 half]; cosine, sine [n, 2 half]. */
void turn(const bf16 *x, const bf16 *restrict cosine, const bf16 *restrict sine, bf16 *y, i64 n, i64 heads, i64 turned,
          i64 half, float direction)
{
    ROWS for (i64 i = 0; i < n; i++) {
        for (i64 h = i * heads; h < (i + 1) * heads; h++) {
            const bf16 *a = x + 2 * h * half;
            bf16 *b = y + 2 * h * half;
            if (h - i * heads < turned) turn_head(a, cosine + 2 * i * half, sine + 2 * i * half, b, half, direction);
            else memcpy(b, a, 2 * half * sizeof(bf16));
        }
    }
}

/* y [n, m]: the rows of x [count, m] that `which` [n] names; zeros for one past the end. */
void gather(const bf16 *restrict x, const i64 *restrict which, bf16 *restrict y, i64 n, i64 count, i64 m)
{
    ROWS for (i64 i = 0; i < n; i++) {
        if (which[i] < count) memcpy(y + i * m, x + which[i] * m, m * sizeof(bf16));
        else memset(y + i * m, 0, m * sizeof(bf16));
    }
}

/* Softmax of scale * x, in place: x [n, total], queries of `width` places, one after another; the last of them sees all
 * `total` keys, each earlier one a key less. */
void causal_softmax(bf16 *restrict x, i64 n, i64 width, i64 total, float scale)
{
    ROWS for (i64 i = 0; i < n; i++) {
        bf16 *a = x + i * total;
        i64 seen = total - width + i % width + 1, padded = (seen + 15) & -16; /* whole vectors: most rows are short */
        float top = -FLT_MAX, sum = 0, row[padded];
        for (i64 j = 0; j < seen; j++) row[j] = wide(a[j]);
        for (i64 j = seen; j < padded; j++) row[j] = -FLT_MAX;
        MAXIMUM(top) for (i64 j = 0; j < padded; j++) top = row[j] > top ? row[j] : top;
        for (i64 j = 0; j < padded; j++) sum += row[j] = expo((row[j] - top) * scale);
        float share = 1.f / sum;
        for (i64 j = 0; j < seen; j++) a[j] = narrow(row[j] * share);
        memset(a + seen, 0, (total - seen) * sizeof(bf16));
    }
}

/* The scores' gradient from that of the weights, dx [n, total], in place. */
void causal_softmax_backward(bf16 *restrict dx, const bf16 *restrict weights, i64 n, i64 width, i64 total, float scale)
{
    ROWS for (i64 i = 0; i < n; i++) {
        bf16 *d = dx + i * total;
        const bf16 *w = weights + i * total;
        i64 seen = total - width + i % width + 1;
        float along = 0;
        for (i64 j = 0; j < seen; j++) along += wide(d[j]) * wide(w[j]);
        for (i64 j = 0; j < seen; j++) d[j] = narrow((wide(d[j]) - along) * wide(w[j]) * scale);
        memset(d + seen, 0, (total - seen) * sizeof(bf16));
    }
}

static float log_sum_exp(const bf16 *x, i64 m)
{
    float top = -FLT_MAX, sum = 0;
    MAXIMUM(top) for (i64 j = 0; j < m; j++) top = wide(x[j]) > top ? wide(x[j]) : top;
    for (i64 j = 0; j < m; j++) sum += expo(wide(x[j]) - top);
    return top + logf(sum);
}

void log_softmax(const bf16 *restrict x, bf16 *restrict y, i64 n, i64 m)
{
    ROWS for (i64 i = 0; i < n; i++) {
        float all = log_sum_exp(x + i * m, m);
        for (i64 j = i * m; j < (i + 1) * m; j++) y[j] = narrow(wide(x[j]) - all);
    }
}

/* KL(teacher || student) of n tokens over m, from the student's logits and the teacher's log-probabilities; and its
 * gradient for the logits, unless that is null. */
void forward_kl(const bf16 *restrict logits, const bf16 *restrict teacher, float *restrict kl, bf16 *restrict gradient,
                i64 n, i64 m)
{
    ROWS for (i64 i = 0; i < n; i++) {
        const bf16 *a = logits + i * m, *t = teacher + i * m;
        bf16 *g = gradient ? gradient + i * m : 0;
        float all = log_sum_exp(a, m), sum = 0;
        for (i64 j = 0; j < m; j++) {
            float student = wide(a[j]) - all, wanted = wide(t[j]);
            student = student < LEAST ? LEAST : student;
            wanted = wanted < LEAST ? LEAST : wanted;
            float p = expo(wanted);
            sum += p * (wanted - student);
            if (g) g[j] = narrow(expo(student) - p);
        }
        kl[i] = sum;
    }
}
