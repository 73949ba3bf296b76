"""Remote vision-language models that answer a score in text, asked over HTTP."""
