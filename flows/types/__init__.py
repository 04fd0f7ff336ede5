"""Types that options take."""
