"""What every notebook stands on: where it runs, how it times, how it draws, what it
records.
"""
