import { useLocation } from 'preact-iso/router'

export const base = '/console'

export interface Place {
  page: number
  filters: Record<string, string>
  /** Another page, with the same filters. */
  toPage: (page: number) => void
  /** Other filters, from the first page on. */
  filter: (changed: Record<string, string>) => void
}

/** The page and the filters of a list stand in its address, so that it can be kept and sent to others. */
export function usePlace(): Place {
  const { path, query, route } = useLocation()
  const { page = '1', ...filters } = query as Record<string, string>
  const go = (wanted: Record<string, string>, replace = false) => {
    const given = Object.entries(wanted).filter(([, value]) => value !== '')
    route(given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`, replace)
  }
  return {
    page: Math.max(1, Math.trunc(Number(page)) || 1),
    filters,
    toPage: (next) => go({ ...filters, page: String(next) }),
    filter: (changed) => go({ ...filters, ...changed }, true)
  }
}
