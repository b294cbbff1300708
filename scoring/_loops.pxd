"""The loops inside numpy's and scipy's functions, called for one row, for the compiled modules.

An array function costs thousands of instructions before its first row and a hundred for each; a slice of
eight purchases pays the first, and sixty times over. The C library's own `log1p` would not do: numpy brings
its own for some processors, and the last bit would tell who evaluated a customer.
"""

from cpython.ref cimport PyObject

cdef extern from *:
    """
    /* What numpy/ufuncobject.h says a ufunc begins with; it has not changed since numpy 1.0. */
    typedef void (*EverscoreRun)(char **, const Py_ssize_t *, const Py_ssize_t *, void *);
    typedef struct {
        PyObject_HEAD
        int nin, nout, nargs, identity;
        EverscoreRun *functions;
        void *const *data;
        int ntypes;
    } EverscoreUfunc;
    """
    ctypedef void (*EverscoreRun)(char**, const Py_ssize_t*, const Py_ssize_t*, void*)
    ctypedef struct EverscoreUfunc:
        int nin
        int nargs
        EverscoreRun* functions
        void* const* data
        int ntypes

cdef struct Loop:
    EverscoreRun run
    void* data


cdef inline Loop loop_of(object function, str types) except *:
    """The loop over float64 of a ufunc, such as that of the types "d->d"."""
    cdef EverscoreUfunc* inside = <EverscoreUfunc*> <PyObject*> function
    if inside.nin != function.nin or inside.ntypes != function.ntypes:
        raise ImportError(f"{function} is not laid out as numpy 2 has it")
    cdef Py_ssize_t place = function.types.index(types)
    return Loop(inside.functions[place], inside.data[place])


cdef inline double one(Loop* loop, double x) noexcept:
    cdef double found = 0.0
    cdef Py_ssize_t count = 1
    cdef Py_ssize_t* steps = [8, 8]
    cdef char** arrays = [<char*> &x, <char*> &found]
    loop.run(arrays, &count, steps, loop.data)
    return found
