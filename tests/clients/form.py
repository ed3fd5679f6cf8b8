"""Sends files to `POST /v1/jobs/{job}/score` as forms, by httpx and by aiohttp, and prints what is answered."""
import asyncio
import json
import sys

import aiohttp
import httpx

url, *paths = sys.argv[1:]


def with_httpx(path):
    with open(path, "rb") as file:
        answer = httpx.post(url, files={"content": file}, data={"id": "7", "title": "a title that the job does not read"})
    return {"status": answer.status_code, "body": answer.json()}


async def with_aiohttp(path):
    form = aiohttp.FormData()
    with open(path, "rb") as file:
        form.add_field("content", file, filename="letter.pdf", content_type="application/pdf")
        async with aiohttp.ClientSession() as session, session.post(url, data=form) as answer:
            return {"status": answer.status, "body": await answer.json()}


print(json.dumps([answer for path in paths for answer in (with_httpx(path), asyncio.run(with_aiohttp(path)))]))
