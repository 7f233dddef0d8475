import { useLocation } from 'preact-iso/router'
import { ask } from '../api.js'
import { Act } from './form.js'

interface SwitchesProps {
  /** Of what is switched, without a slash at the end. */
  path: string
  isEnabled: boolean
  reload: () => void
  /** Where the list is that it is gone from. */
  list: string
}

/** Buttons that enable, disable and delete a machine, group or job. */
export function Switches({ path, isEnabled, reload, list }: SwitchesProps) {
  const { route } = useLocation()
  const turn = (word: 'enable' | 'disable') => async () => {
    await ask(`${path}/${word}`, { method: 'PUT' })
    reload()
  }
  const remove = async () => {
    await ask(path, { method: 'DELETE' })
    route(list)
  }
  return (
    <>
      {isEnabled ? <Act act={turn('disable')}>Disable</Act> : <Act act={turn('enable')}>Enable</Act>}
      <Act act={remove} confirm="Really delete?">
        Delete
      </Act>
    </>
  )
}
