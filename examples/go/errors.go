package moe

// #include <moe.h>
import "C"

import "errors"

// Status is the kind of an error, for errors.Is: errors.Is(err, moe.ErrShape).
type Status int32

// The statuses of moe.h. MOE_END is [io.EOF].
const (
	ErrInvalidArgument Status = C.MOE_ERR_INVALID_ARGUMENT // a negative count, an unknown name or constant
	ErrOutOfMemory     Status = C.MOE_ERR_OUT_OF_MEMORY    // an allocation failed; nothing was changed
	ErrNotFound        Status = C.MOE_ERR_NOT_FOUND        // a file, key or name does not exist
	ErrIO              Status = C.MOE_ERR_IO               // reading or writing failed
	ErrParse           Status = C.MOE_ERR_PARSE            // text is not well formed YAML or JSON
	ErrConfig          Status = C.MOE_ERR_CONFIG           // a setting is unknown, of the wrong type or out of range
	ErrShape           Status = C.MOE_ERR_SHAPE            // a tensor has the wrong number of dimensions, sizes or strides
	ErrDType           Status = C.MOE_ERR_DTYPE            // a tensor has the wrong element type
	ErrDevice          Status = C.MOE_ERR_DEVICE           // the device does not exist or is not supported
	ErrState           Status = C.MOE_ERR_STATE            // not possible now: step without feed, a run folder in use
	ErrVersion         Status = C.MOE_ERR_VERSION          // a file or library of a version that does not fit
	ErrUnsupported     Status = C.MOE_ERR_UNSUPPORTED      // known, but this task cannot do it
	ErrCancelled       Status = C.MOE_ERR_CANCELLED        // stopped before the work was done; nothing was changed
	ErrBufferTooSmall  Status = C.MOE_ERR_BUFFER_TOO_SMALL // a buffer cannot hold the result
	ErrNumeric         Status = C.MOE_ERR_NUMERIC          // a loss, gradient or input is not finite
	ErrData            Status = C.MOE_ERR_DATA             // a data set, image, label or checkpoint holds something wrong
	ErrInternal        Status = C.MOE_ERR_INTERNAL         // a defect of the library: please report the text
)

// Error gives the name in moe.h, such as "MOE_ERR_SHAPE".
func (s Status) Error() string {
	return C.GoString(C.moe_status_name(C.moe_status(s)))
}

// ErrClosed tells of a call on a handle that is closed, nil or was never opened.
var ErrClosed = errors.New("the handle is closed")

// Error is what the library says of a call that did not succeed.
type Error struct {
	Status Status
	Text   string // one line: where (file:line:column when known), what was expected, what came
	Line   int    // of a file, from 1; 0 when there is none
	Column int    // from 1; 0 when there is none
	cause  error
}

func (e *Error) Error() string { return e.Text }

// Unwrap gives the status and, where there is one, a cause such as [ErrClosed] or [context.Canceled].
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Status}
	}
	return []error{e.Status, e.cause}
}

// lastError reads the calling thread's last error; the goroutine must have been on this thread since the call.
func lastError(status C.moe_status) error {
	info := C.moe_error_info{struct_size: C.sizeof_moe_error_info}
	if C.moe_last_error(&info) != C.MOE_OK || info.status != status {
		return &Error{Status: Status(status), Text: Status(status).Error() + " without a text"}
	}
	return &Error{Status: Status(info.status), Text: C.GoString(&info.text[0]), Line: int(info.line), Column: int(info.column)}
}
