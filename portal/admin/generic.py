"""Django's admin and form classes with their type parameter, which they take in type checking only."""

from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin, TabularInline
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.auth.admin import UserAdmin
from django.forms import ModelForm

if TYPE_CHECKING:
    AnyAdminOptions = BaseModelAdmin[Any]
    AnyAdmin = ModelAdmin[Any]
    AnyInline = TabularInline[Any, Any]
    AnyUserAdmin = UserAdmin[Any]
    AnyForm = ModelForm[Any]
else:
    AnyAdminOptions, AnyAdmin, AnyInline = BaseModelAdmin, ModelAdmin, TabularInline
    AnyUserAdmin, AnyForm = UserAdmin, ModelForm

__all__ = ["AnyAdmin", "AnyAdminOptions", "AnyForm", "AnyInline", "AnyUserAdmin"]
