"""The cards: questions read from book/cards, their variants, marking, scheduling,
quizzes and decks.
"""
