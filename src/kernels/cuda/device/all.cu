// Every kernel of the program: one module, compiled to ../kernels.ptx by scripts/ptx.sh.
#include "attention.cu"
#include "gelu.cu"
#include "loss.cu"
#include "norm.cu"
#include "read.cu"
#include "rows.cu"
#include "sums.cu"
#include "update.cu"
