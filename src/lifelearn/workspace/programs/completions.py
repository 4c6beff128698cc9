from fastapi import APIRouter

completions = APIRouter()
