{ print valid(clean($0)) }
