import { useCallback, useEffect, useState } from 'preact/hooks'
import { type ApiError, type Asked, ask } from '../api.js'

export interface Loaded<T> {
  /** The latest answer; that of another path is never shown. */
  data: T | undefined
  error: ApiError | undefined
  reload: () => void
}

interface Answer<T> {
  of: string
  data?: T
  error?: ApiError
}

/**
 * What a path answers, asked again every `everyMs` while the page is looked at. Nothing is asked without a path. A failed
 * repeat keeps what was there and says so.
 */
export function useData<T>(
  path: string | undefined,
  { everyMs = 0, body }: { everyMs?: number; body?: unknown } = {}
): Loaded<T> {
  const [answer, setAnswer] = useState<Answer<T>>({ of: '' })
  const [turn, setTurn] = useState(0)
  const posted = body === undefined ? undefined : JSON.stringify(body)
  const of = `${path} ${posted ?? ''}`
  useEffect(() => {
    if (path === undefined) return
    const stop = new AbortController()
    const asked: Asked = {
      signal: stop.signal,
      ...(posted === undefined ? {} : { method: 'POST', body: JSON.parse(posted) })
    }
    let timer: ReturnType<typeof setTimeout> | undefined
    let isFirst = true
    const look = async () => {
      // A tab that is opened behind others is to have something to show as well.
      if (isFirst || !document.hidden) {
        isFirst = false
        const got = await ask<T>(path, asked).then(
          (data): Answer<T> => ({ of, data }),
          (error: ApiError): Answer<T> => ({ of, error })
        )
        if (stop.signal.aborted) return
        setAnswer((before) => (got.error && before.of === of ? { ...before, ...got } : got))
      }
      if (everyMs > 0) timer = setTimeout(look, everyMs)
    }
    void look()
    return () => {
      stop.abort()
      clearTimeout(timer)
    }
  }, [path, posted, everyMs, turn])

  const reload = useCallback(() => setTurn((before) => before + 1), [])
  const shown = answer.of === of ? answer : undefined
  return { data: shown?.data, error: shown?.error, reload }
}
