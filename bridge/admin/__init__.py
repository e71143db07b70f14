"""The admin listener: health and readiness for machines; the API and console come with their own issue."""
