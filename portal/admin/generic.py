"""Django's admin and form classes with their type parameter, which they take in type checking only."""

from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin, TabularInline
from django.contrib.admin.options import BaseModelAdmin
from django.forms import ModelForm

if TYPE_CHECKING:
    AnyAdminOptions = BaseModelAdmin[Any]
    AnyAdmin = ModelAdmin[Any]
    AnyInline = TabularInline[Any, Any]
    AnyForm = ModelForm[Any]
else:
    AnyAdminOptions, AnyAdmin, AnyInline, AnyForm = BaseModelAdmin, ModelAdmin, TabularInline, ModelForm


__all__ = ["AnyAdmin", "AnyAdminOptions", "AnyForm", "AnyInline"]
