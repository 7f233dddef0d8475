import { createContext } from 'preact'
import { useContext } from 'preact/hooks'

/** `GET /user` */
export interface Me {
  tenant_id: string
  user_id: string
  nickname: string
  email: string
  is_super_admin?: boolean
  menus: Menu[]
}

interface Menu {
  code: string
  children: Menu[]
}

export const MeContext = createContext<Me | undefined>(undefined)

/** Whether who is signed in has this function code; pages leave out what the services would refuse. */
export function useMay(): (code: string) => boolean {
  const me = useContext(MeContext)
  const codes = new Set(me ? codesOf(me.menus) : [])
  return (code) => me?.is_super_admin === true || codes.has(code)
}

function codesOf(menus: readonly Menu[]): string[] {
  return menus.flatMap(({ code, children }) => [code, ...codesOf(children)])
}
