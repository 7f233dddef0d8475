import type { ComponentChildren } from 'preact'
import { Failure } from './failure.js'
import type { Loaded } from './useData.js'

export type Columns<T> = Record<string, (row: T) => ComponentChildren>

interface TableProps<T> {
  columns: Columns<T>
  rows: readonly T[] | undefined
  keyOf: (row: T) => string | number
  empty?: string
}

/** Columns by their headings; that without one is for buttons. Says that it waits while there are no rows yet. */
export function Table<T>({ columns, rows, keyOf, empty = 'nothing here' }: TableProps<T>) {
  const heads = Object.keys(columns)
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col" class={head === '' ? 'acts' : ''}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows?.map((row) => (
            <tr key={keyOf(row)}>
              {heads.map((head) => (
                <td key={head} class={head === '' ? 'acts' : ''}>
                  {columns[head]?.(row)}
                </td>
              ))}
            </tr>
          ))}
          {!rows?.length && (
            <tr>
              <td class="none" colSpan={heads.length}>
                {rows ? empty : '…'}
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </div>
  )
}

interface PagedProps<T> extends Omit<TableProps<T>, 'rows'> {
  loaded: Loaded<{ total: number; list: T[] }>
  page: number
  onPage: (page: number) => void
}

export const pageSize = 50

/** A page of a list of the SDES dialect, with the way to the others. */
export function Paged<T>({ loaded, page, onPage, ...table }: PagedProps<T>) {
  const { data, error } = loaded
  return (
    <>
      <Failure error={error} />
      {!(error && !data) && <Table {...table} rows={data?.list} />}
      {data && <Pager page={page} total={data.total} onPage={onPage} />}
    </>
  )
}

function Pager({ page, total, onPage }: { page: number; total: number; onPage: (page: number) => void }) {
  const pages = Math.max(1, Math.ceil(total / pageSize))
  return (
    <nav class="pager" aria-label="pages">
      <button type="button" disabled={page <= 1} onClick={() => onPage(page - 1)}>
        ‹
      </button>
      <span>
        {page} of {pages} · {total.toLocaleString('en')}
      </span>
      <button type="button" disabled={page >= pages} onClick={() => onPage(page + 1)}>
        ›
      </button>
    </nav>
  )
}
