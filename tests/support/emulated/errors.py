"""The errors of CUDA as CuPy raises them, for the codes that the stand-in knows."""

from __future__ import annotations

RUNTIME = {
    1: "cudaErrorInvalidValue: invalid argument",
    2: "cudaErrorMemoryAllocation: out of memory",
    4: "cudaErrorCudartUnloading: driver shutting down",
    35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
    100: "cudaErrorNoDevice: no CUDA-capable device is detected",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
    400: "cudaErrorInvalidResourceHandle: invalid resource handle",
    401: "cudaErrorIllegalState: the operation cannot be performed in the present state",
    700: "cudaErrorIllegalAddress: an illegal memory access was encountered",
    719: "cudaErrorLaunchFailure: unspecified launch failure",
    900: "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing",
    901: "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capture",
    902: "cudaErrorStreamCaptureMerge: operation would result in a merge of separate capture sequences",
    903: "cudaErrorStreamCaptureUnmatched: capture was not ended in the same stream as it began",
    904: "cudaErrorStreamCaptureUnjoined: capturing stream has unjoined work",
    905: "cudaErrorStreamCaptureIsolation: dependency created on uncaptured work in another stream",
    906: "cudaErrorStreamCaptureImplicit: operation would make the legacy stream depend on a capturing blocking stream",
    907: "cudaErrorCapturedEvent: operation not permitted on an event last recorded in a capturing stream",
}
DRIVER = {
    1: "CUDA_ERROR_INVALID_VALUE: invalid argument",
    4: "CUDA_ERROR_DEINITIALIZED: driver shutting down",
    200: "CUDA_ERROR_INVALID_IMAGE: device kernel image is invalid",
    201: "CUDA_ERROR_INVALID_CONTEXT: invalid device context",
    209: "CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image is available for execution on the device",
    400: "CUDA_ERROR_INVALID_HANDLE: invalid resource handle",
    500: "CUDA_ERROR_NOT_FOUND: named symbol not found",
    700: "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered",
    719: "CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure",
}
NVRTC = {5: "NVRTC_ERROR_INVALID_OPTION (5)", 6: "NVRTC_ERROR_COMPILATION (6)"}


class _WithStatus(RuntimeError):
    texts: dict[int, str] = {}

    def __init__(self, status: int, detail: str = ""):
        super().__init__(self.texts[status])
        self.status = status
        if detail:
            self.add_note(f"emulated card: {detail}")


class CUDARuntimeError(_WithStatus):
    """cupy.cuda.runtime.CUDARuntimeError."""

    texts = RUNTIME


class CUDADriverError(_WithStatus):
    """What the functions of cupy.cuda.driver raise."""

    texts = DRIVER


class NVRTCError(_WithStatus):
    """What the functions of cupy.cuda.nvrtc raise."""

    texts = NVRTC
