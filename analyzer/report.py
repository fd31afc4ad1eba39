"""placeholder while binding"""
