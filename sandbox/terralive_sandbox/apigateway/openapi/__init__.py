"""OpenAPI documents of REST and HTTP APIs. Everything here is pure, and imports no moto."""
