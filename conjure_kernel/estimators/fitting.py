"""A fit is whole or has not been, copies share what is heavy, and a fit keeps its settings."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from conjure_kernel._checks import ConjureWarning, same_value

__all__ = ["FittedWhole", "as_fitted", "whole"]

T = TypeVar("T", bound=Callable)


def whole(fit: T) -> T:
    """Fit aside, and take over the result at the end: an error or Ctrl-C leaves the old state."""

    @wraps(fit)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        aside = copy.copy(self)
        aside.__dict__ = before = self._unfitted_state()
        names = set(before)
        result = fit(aside, *args, **kwargs)
        fitted = {name: value for name, value in vars(aside).items() if name not in names}
        fitted |= {"_fitted_params": self.get_params(deep=False), "_fitted_names": list(fitted)}
        self.__dict__ = {**self._unfitted_state(), **fitted}
        return self if result is aside else result

    return run  # type: ignore[return-value]


def as_fitted(method: T) -> T:
    """Run a method with the parameters of the fit, whatever was set since."""

    @wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        check_is_fitted(self)
        return method(self._with_fitted_params(), *args, **kwargs)

    return run  # type: ignore[return-value]


class FittedWhole(BaseEstimator):
    """Base of the estimators: clones and copies share what `_shared` names, such as models."""

    _shared: tuple[str, ...] = ()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted_params")

    def _unfitted_state(self) -> dict[str, Any]:
        """Everything but what a fit has left."""
        left = {*getattr(self, "_fitted_names", ()), "_fitted_params", "_fitted_names"}
        return {n: v for n, v in vars(self).items() if n not in left and n != "_engine"}

    def _with_fitted_params(self) -> Any:
        """The estimator, or a copy where a parameter is another one than when it was fitted."""
        fitted = dict(self._fitted_params)
        for name in self._shared:  # which may not have travelled, and are passed again
            if getattr(fitted[name], "left_behind", False):
                fitted[name] = getattr(self, name)
        if all(same_value(getattr(self, name), value) for name, value in fitted.items()):
            return self
        twin = copy.copy(self)
        twin.__dict__.update(fitted)
        return twin

    @property
    def _told(self) -> set[str]:
        """What was said already; clones share it, so that folds do not repeat each other."""
        return self.__dict__.setdefault("_already_told", set())

    def _tell_once(self, text: str, about: str) -> None:
        if about not in self._told:
            warnings.warn(text, ConjureWarning, stacklevel=5)
        self._told.add(about)

    def __getstate__(self) -> dict[str, Any]:
        return {n: v for n, v in super().__getstate__().items() if n != "_already_told"}

    def __copy__(self) -> Any:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(vars(self))
        return twin

    def __sklearn_clone__(self) -> Any:
        shell = copy.copy(self)
        for name in self._shared:
            setattr(shell, name, None)
        twin = super(FittedWhole, shell).__sklearn_clone__()
        for name in self._shared:
            setattr(twin, name, getattr(self, name))
        twin._already_told = self._told
        return twin

    def __deepcopy__(self, memo: dict) -> Any:
        memo |= {id(value): value for name in self._shared if (value := getattr(self, name))}
        twin = type(self).__new__(type(self))
        for name, value in vars(self).items():
            setattr(twin, name, value if name == "_engine" else copy.deepcopy(value, memo))
        return twin
